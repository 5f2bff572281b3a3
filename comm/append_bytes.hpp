#pragma once
/// Bytes behind bytes. Not by std::vector::insert, of which GCC 14 warns that it writes beyond the vector's end.

#include <cstddef>
#include <cstring>
#include <vector>

namespace blocktrain::comm {

/// Appends `count` bytes from `from`, which are not in `out`.
inline void append_bytes(std::vector<std::byte>& out, const void* from, std::size_t count) {
  const std::size_t at = out.size();
  out.resize(at + count);
  if (count > 0) std::memcpy(out.data() + at, from, count);
}

}  // namespace blocktrain::comm
