#include "comm/local/local_world.hpp"

#include <exception>
#include <mutex>
#include <thread>

#include "comm/local/local_communicator.hpp"
#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::comm {

LocalWorld::LocalWorld(int size) : registry_(std::make_shared<local::Registry>()) {
  if (size < 1) throw InputError("a world of " + std::to_string(size) + " ranks was asked for; at least 1 is needed");
  const auto group = registry_->make_group(size);
  for (int rank = 0; rank < size; ++rank) {
    ranks_.push_back(std::make_unique<local::LocalCommunicator>(registry_, group, rank));
  }
}

LocalWorld::~LocalWorld() = default;

void LocalWorld::poison(const std::string& why) { registry_->poison(why); }

void run_local_world(int size, const std::function<void(Communicator&)>& body) {
  LocalWorld world(size);
  std::mutex mutex;
  std::exception_ptr first;
  const auto failed = [&](const std::string& who, const char* what) {
    {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
    world.poison(who + " failed: " + what);
  };
  const auto run = [&](int rank) {
    const std::string who = "rank " + std::to_string(rank);
    try {
      body(world.rank(rank));
    } catch (const std::exception& error) {
      failed(who, error.what());
    } catch (...) {
      failed(who, "an exception without words");
    }
  };
  std::vector<std::thread> threads;
  try {
    for (int rank = 0; rank < size; ++rank) {
      threads.push_back(start_thread("rank " + std::to_string(rank), [&run, rank] { run(rank); }));
    }
  } catch (const std::exception& error) {  // the system has no more threads
    failed("starting the ranks", error.what());
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

std::unique_ptr<Communicator> make_single() {
  auto registry = std::make_shared<local::Registry>();
  auto group = registry->make_group(1);
  return std::make_unique<local::LocalCommunicator>(std::move(registry), std::move(group), 0);
}

}  // namespace blocktrain::comm
