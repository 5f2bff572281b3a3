#pragma once
/// Messages that have arrived at one rank and wait to be fetched, by tag. Shared by the transports.

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>

#include "comm/communicator.hpp"

namespace blocktrain::comm {

class Inbox {
 public:
  void deliver(int tag, Message message);
  /// The oldest message with `tag`, waiting up to `timeout`; nullopt if none came. Throws what fail() was given.
  std::optional<Message> take(int tag, std::chrono::milliseconds timeout);
  /// From now on take() throws `why`, also for those who wait already. The first reason stays.
  void fail(std::exception_ptr why);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<int, std::deque<Message>> messages_;
  std::exception_ptr failure_;
};

}  // namespace blocktrain::comm
