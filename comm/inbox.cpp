#include "comm/inbox.hpp"

#include <utility>

#include "comm/deadline.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {

void Inbox::deliver(int tag, Message message) {
  const std::lock_guard lock(mutex_);
  messages_[tag].push_back(std::move(message));
  arrived_.notify_all();
}

std::optional<Message> Inbox::take(int tag, std::chrono::milliseconds timeout) {
  BLOCKTRAIN_EXPECTS(tag >= 0 && tag <= max_tag);
  const auto end = deadline_after(timeout);
  std::unique_lock lock(mutex_);
  const auto ready = [&] {
    const auto found = messages_.find(tag);
    return failure_ != nullptr || (found != messages_.end() && !found->second.empty());
  };
  if (timeout.count() > 0) wait_running(arrived_, lock, end, ready);
  if (failure_) std::rethrow_exception(failure_);
  const auto found = messages_.find(tag);
  if (found == messages_.end() || found->second.empty()) return std::nullopt;
  Message message = std::move(found->second.front());
  found->second.pop_front();
  return message;
}

void Inbox::fail(std::exception_ptr why) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(why);
  arrived_.notify_all();
}

}  // namespace blocktrain::comm
