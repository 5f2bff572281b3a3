#pragma once
/// The unpacked size of an xz file, read from its index instead of by unpacking it.

#include <cstdint>
#include <span>
#include <string>

namespace blocktrain::trainer {

/// What the indexes at the ends of the streams of `packed` announce, which is what a whole file unpacks to: a decoder
/// compares the two. `name` stands in messages. Throws InputError: no xz file, truncated, a damaged index, nothing
/// inside, beyond decoded_limit().
std::uint64_t xz_decoded_size(std::span<const std::uint8_t> packed, const std::string& name);

}  // namespace blocktrain::trainer
