#include "comm/traffic.hpp"

#include "comm/placement.hpp"

namespace blocktrain::comm {

std::uint64_t all_reduce_bytes_sent(std::uint64_t count, int size, int rank) {
  if (size <= 1) return 0;
  const std::uint64_t mine = shard(count, size, rank).size();
  const auto others = static_cast<std::uint64_t>(size) - 1;
  return ((count - mine) + mine * others) * sizeof(float);
}

}  // namespace blocktrain::comm
