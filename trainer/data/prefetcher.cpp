#include "trainer/data/prefetcher.hpp"

#include <string>
#include <utility>

#include "kernels/error.hpp"
#include "kernels/running_clock.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::uint64_t steps_end = std::uint64_t{1} << 32;

}  // namespace

Prefetcher::Prefetcher(std::vector<blocks::Batch> ring, Fill fill, std::uint32_t first_step,
                       std::chrono::milliseconds deadline)
    : fill_(std::move(fill)), deadline_(deadline), next_step_(first_step), next_fill_(first_step) {
  BLOCKTRAIN_EXPECTS(ring.size() >= 2 && fill_ != nullptr);
  for (blocks::Batch& batch : ring) ring_.push_back({std::move(batch)});
  thread_ = start_thread("the next batches", [this] { work(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  slot_free_.notify_all();
  thread_.join();
}

Prefetcher::Slot* Prefetcher::find(State state) {
  for (Slot& slot : ring_) {
    if (slot.state == state) return &slot;
  }
  return nullptr;
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Slot* slot = nullptr;
    // No deadline: a consumer may pause as long as it likes, and the destructor always ends this wait.
    slot_free_.wait(lock, [&] {
      if (stop_) return true;
      slot = next_fill_ < steps_end ? find(State::free) : nullptr;
      return slot != nullptr;
    });
    if (stop_) return;
    slot->state = State::filling;
    slot->step = next_fill_++;
    slot->batch.step = static_cast<std::uint32_t>(slot->step);
    const std::uint64_t generation = generation_;
    lock.unlock();
    std::exception_ptr error;
    try {
      fill_(slot->batch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    const bool wanted = generation == generation_;
    slot->state = wanted && !error ? State::ready : State::free;
    if (error) error_ = error;
    slot_ready_.notify_all();
    if (error) return;
  }
}

const blocks::Batch& Prefetcher::next() {
  std::unique_lock lock(mutex_);
  BLOCKTRAIN_EXPECTS(next_step_ < steps_end);
  release_held();
  Slot* slot = nullptr;
  const bool there = wait_running(slot_ready_, lock, RunningClock::now() + deadline_, [&] {
    for (Slot& s : ring_) {
      if (s.state == State::ready && s.step == next_step_) slot = &s;
    }
    return slot != nullptr || error_ != nullptr;
  });
  if (slot == nullptr && error_) std::rethrow_exception(error_);
  if (!there) {
    throw RunError("the data thread has not made the batch of step " + std::to_string(next_step_) + " within " +
                   std::to_string(deadline_.count() / 1000) + " s; is the file system of data.path stuck?");
  }
  slot->state = State::held;
  ++next_step_;
  return slot->batch;
}

void Prefetcher::release() {
  const std::lock_guard lock(mutex_);
  release_held();
}

void Prefetcher::release_held() {
  if (Slot* slot = find(State::held)) {
    slot->state = State::free;
    slot_free_.notify_all();
  }
}

void Prefetcher::seek(std::uint32_t step) {
  const std::lock_guard lock(mutex_);
  if (step < next_step_ || step >= next_fill_) {
    // Outside of what is being made: start over there. The fill in progress is for another step.
    ++generation_;
    next_fill_ = step;
    for (Slot& slot : ring_) {
      if (slot.state == State::ready) slot.state = State::free;
    }
  } else {
    for (Slot& slot : ring_) {
      if (slot.state == State::ready && slot.step < step) slot.state = State::free;
    }
  }
  next_step_ = step;
  slot_free_.notify_all();
}

}  // namespace blocktrain::trainer
