#pragma once
/// Words shared by the transports' error messages.

#include <chrono>
#include <string>
#include <vector>

namespace blocktrain::comm {

/// "0.5 s"
std::string seconds_text(std::chrono::milliseconds time);
/// "rank 2" or "ranks 1, 3"; the first 16 are named.
std::string ranks_text(const std::vector<int>& ranks);
/// "rank 5 (1 of 2 in its group)", or "rank 1 of 2" in a process without process_rank(): which rank of which group.
std::string member_text(int rank, int size);
/// "rank 2 of 4 did not join all_reduce within 0.5 s; ..."; `call` is a name such as "all_reduce".
std::string missing_text(const std::vector<int>& missing, int size, const char* call,
                         std::chrono::milliseconds deadline);

}  // namespace blocktrain::comm
