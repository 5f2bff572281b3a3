#pragma once
/// What every transport has to do: one body of tests, run with ranks as threads and under mpirun. Cases throw on
/// failure, since Boost.Test's macros are for one thread.

#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace blocktrain::comm::test {

struct Case {
  const char* name;
  void (*run)(Communicator& world);  ///< collective; leaves the world in step
};

const std::vector<Case>& cases();

/// Throws std::runtime_error with `what` and the rank unless `holds`.
void require(bool holds, const Communicator& communicator, const std::string& what);

/// `count` bytes that depend on `seed` and their place.
std::vector<std::byte> pattern(std::size_t count, std::uint32_t seed);

}  // namespace blocktrain::comm::test
