#pragma once
/// Address space of this process (ulimit -v): what is allowed of it and what is mapped.

#include <cstdint>
#include <optional>

namespace blocktrain::trainer {

/// RLIMIT_AS in bytes; nothing without a limit.
std::optional<std::int64_t> address_space_limit();

/// Bytes that are mapped; nothing where the system does not tell.
std::optional<std::int64_t> address_space_mapped();

}  // namespace blocktrain::trainer
