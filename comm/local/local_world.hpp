#pragma once
/// Ranks as threads of one process: tests, laptops, and the world of one.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

namespace local {
class Registry;
}

/// `size` ranks in this process. Each thread takes one rank's communicator; communicators made by split() may outlive
/// the world.
class LocalWorld {
 public:
  /// Throws InputError unless size >= 1.
  explicit LocalWorld(int size);
  ~LocalWorld();
  LocalWorld(const LocalWorld&) = delete;
  LocalWorld& operator=(const LocalWorld&) = delete;

  int size() const { return static_cast<int>(ranks_.size()); }
  Communicator& rank(int rank) { return *ranks_.at(static_cast<std::size_t>(rank)); }

  /// Makes every collective and every wait of this world and of what was split from it throw RunError quoting `why`,
  /// now and later. Any thread may call; the first reason stays.
  void poison(const std::string& why);

 private:
  std::shared_ptr<local::Registry> registry_;
  std::vector<std::unique_ptr<Communicator>> ranks_;
};

/// Runs `body` once per rank, each on its own thread, and returns when all have ended. If one throws, the others'
/// waits fail promptly, and the first exception is thrown again here.
void run_local_world(int size, const std::function<void(Communicator&)>& body);

/// A world of one rank.
std::unique_ptr<Communicator> make_single();

}  // namespace blocktrain::comm
