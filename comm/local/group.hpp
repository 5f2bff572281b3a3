#pragma once
/// What the ranks of one communicator share in the threads transport: a meeting point, one slot per rank, and the
/// registry through which a failed rank reaches all groups of its world.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/inbox.hpp"

namespace blocktrain::comm::local {

class Group;

/// All groups of one world.
class Registry {
 public:
  /// Makes a group of this world; it is poisoned from the start if the world is.
  std::shared_ptr<Group> make_group(int size);
  /// Fails all groups, present and future.
  void poison(const std::string& why);

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<Group>> groups_;
  std::string poison_;
};

/// A rank's place in a group. Between two meetings a slot is written by its rank alone or only read by all.
struct Slot {
  Inbox inbox;
  std::vector<float> floats;
  std::size_t count = 0;  ///< of what this rank brought; to compare
  std::vector<std::byte> bytes;
  int color = 0;
  std::shared_ptr<Group> child;  ///< written by the leader of a color, taken by the owner after the next meeting
  int child_rank = 0;
};

class Group {
 public:
  explicit Group(int size);

  int size() const { return static_cast<int>(slots_.size()); }
  Slot& slot(int rank) { return *slots_[static_cast<std::size_t>(rank)]; }

  /// Returns when all ranks have called. Throws RunError if one does not within `deadline`, if ranks meet in different
  /// calls, or if the group failed before.
  void meet(int rank, const char* call, std::chrono::milliseconds deadline);
  /// Throws if the group failed before; called before a slot is written, as others may still be reading it.
  void expect_healthy(int rank, const char* call);
  /// Makes all meetings throw from now on, then throws. Every rank sees the first reason.
  [[noreturn]] void fail(int rank, const char* call, const std::string& why);
  /// Makes meetings and inboxes fail.
  void poison(const std::string& why);

 private:
  [[noreturn]] void throw_failure(int rank, const char* call) const;

  std::vector<std::unique_ptr<Slot>> slots_;
  std::mutex mutex_;
  std::condition_variable met_;
  std::vector<const char*> arrived_;  ///< by rank: the call it waits in, or null
  int arrivals_ = 0;
  std::uint64_t generation_ = 0;
  std::string failure_;
};

}  // namespace blocktrain::comm::local
