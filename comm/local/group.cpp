#include "comm/local/group.hpp"

#include <algorithm>
#include <cstring>

#include "comm/deadline.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::local {

std::shared_ptr<Group> Registry::make_group(int size) {
  auto group = std::make_shared<Group>(size);
  const std::lock_guard lock(mutex_);
  std::erase_if(groups_, [](const std::weak_ptr<Group>& known) { return known.expired(); });
  groups_.push_back(group);
  if (!poison_.empty()) group->poison(poison_);
  return group;
}

void Registry::poison(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!poison_.empty()) return;
  poison_ = why;
  for (const auto& known : groups_) {
    if (const auto group = known.lock()) group->poison(why);
  }
}

Group::Group(int size) : arrived_(static_cast<std::size_t>(size), nullptr) {
  slots_.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) slots_.push_back(std::make_unique<Slot>());
}

void Group::meet(int rank, const char* call, std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) throw_failure(rank, call);
  arrived_[static_cast<std::size_t>(rank)] = call;
  if (++arrivals_ == size()) {
    for (const char* other : arrived_) {
      if (std::strcmp(other, call) != 0) {
        failure_ = std::string("ranks meet in different calls, ") + call + " and " + other;
        met_.notify_all();
        throw_failure(rank, call);
      }
    }
    std::fill(arrived_.begin(), arrived_.end(), nullptr);
    arrivals_ = 0;
    ++generation_;
    met_.notify_all();
    return;
  }
  const std::uint64_t generation = generation_;
  const auto end = deadline_after(deadline);
  wait_running(met_, lock, end, [&] { return generation_ != generation || !failure_.empty(); });
  if (generation_ != generation) return;
  if (failure_.empty()) {
    std::vector<int> missing;
    for (int other = 0; other < size(); ++other) {
      if (arrived_[static_cast<std::size_t>(other)] == nullptr) missing.push_back(other);
    }
    failure_ = missing_text(missing, size(), call, deadline);
    met_.notify_all();
  }
  throw_failure(rank, call);
}

void Group::expect_healthy(int rank, const char* call) {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw_failure(rank, call);
}

void Group::fail(int rank, const char* call, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = why;
  met_.notify_all();
  throw_failure(rank, call);
}

void Group::poison(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = why;
    met_.notify_all();
  }
  const auto error = std::make_exception_ptr(RunError("waiting for messages was given up: " + why));
  for (const auto& slot : slots_) slot->inbox.fail(error);
}

void Group::throw_failure(int rank, const char* call) const {
  throw RunError("rank " + std::to_string(rank) + ": " + call + " failed: " + failure_);
}

}  // namespace blocktrain::comm::local
