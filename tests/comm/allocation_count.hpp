#pragma once
/// Counts calls of operator new by the calling thread.

#include <cstdint>

namespace blocktrain::comm::test {
std::uint64_t allocations_of_this_thread();
}
