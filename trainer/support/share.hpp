#pragma once
/// What rank 0 has, on all ranks: control traffic, which all ranks call together.

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/communicator.hpp"

namespace blocktrain::trainer {

/// Rank 0's values to everybody.
template <class T>
requires std::is_trivially_copyable_v<T>
void share(comm::Communicator& world, std::vector<T>& values) {
  std::uint64_t size = values.size();
  world.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0, comm::TrafficPurpose::control);
  values.resize(size);
  world.broadcast(std::as_writable_bytes(std::span(values)), 0, comm::TrafficPurpose::control);
}

/// Rank 0's text to everybody.
void share(comm::Communicator& world, std::string& text);

/// Rank 0's texts to everybody.
void share(comm::Communicator& world, std::vector<std::string>& texts);

}  // namespace blocktrain::trainer
