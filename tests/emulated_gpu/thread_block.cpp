#include "tests/emulated_gpu/thread_block.hpp"

#include <array>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace emulated_gpu {
namespace {

namespace context = boost::context;

constexpr unsigned lanes = 32;
constexpr std::size_t stack_bytes = 64 << 10;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "emulated GPU: %s, in block (%u, %u, %u), thread %u\n", what, here->block.x, here->block.y,
               here->block.z, here->thread.x);
  std::abort();
}

enum class State { ready, waits_for_warp, waits_for_block, waits_for_some, done };

/// A thread of a kernel; it serves one block after the other.
struct Thread {
  Place place{};
  State state = State::done;
  unsigned shuffles = 0;
  int barrier = 0, barrier_threads = 0;  ///< where it waits for some
  context::fiber self;                   ///< empty while it runs
};

/// What the lanes of a warp gave to their shuffles. Two sets in turn: a lane cannot be two shuffles ahead of another.
struct Warp {
  std::array<std::array<std::array<std::byte, widest_shuffle>, lanes>, 2> given;
};

class Multiprocessor {
 public:
  void run(const Shape& shape, const std::function<void()>& body) {
    body_ = &body;
    while (threads_.size() < shape.threads) add_thread();
    warps_.resize((shape.threads + lanes - 1) / lanes);
    shared_.resize((shape.shared_bytes + sizeof(double) - 1) / sizeof(double));
    const dim3& g = shape.grid;
    for (unsigned z = 0; z < g.z; ++z) {
      for (unsigned y = 0; y < g.y; ++y) {
        for (unsigned x = 0; x < g.x; ++x) run_block(shape, {x, y, z});
      }
    }
    here = nullptr;
  }

  void* shared_memory() { return shared_.data(); }

  void wait(State state) {
    Thread& t = current();
    t.state = state;
    pass_on(t.self);
    here = &t.place;
  }

  void wait_for_some(int barrier, int threads) {
    current().barrier = barrier;
    current().barrier_threads = threads;
    wait(State::waits_for_some);
  }

  const void* shuffle(const void* value, std::size_t bytes, int lane_mask) {
    Thread& t = current();
    const unsigned lane = t.place.thread.x % lanes;
    Warp& warp = warps_[t.place.thread.x / lanes];
    auto& given = warp.given[t.shuffles++ % 2];
    std::memcpy(given[lane].data(), value, bytes);
    wait(State::waits_for_warp);
    return given[lane ^ static_cast<unsigned>(lane_mask)].data();
  }

 private:
  Thread& current() { return *threads_[here->thread.x]; }

  void add_thread() {
    threads_.push_back(std::make_unique<Thread>());
    Thread& t = *threads_.back();
    t.self =
        context::fiber(std::allocator_arg, context::fixedsize_stack(stack_bytes), [this, &t](context::fiber&& from) {
          *left_ = std::move(from);
          for (;;) {
            (*body_)();
            t.state = State::done;
            pass_on(t.self);
          }
          return std::move(scheduler_);
        });
  }

  /// The next thread in turn that is ready takes over, or run_warp() when there is none; returns when it is the turn of
  /// `own` again. From thread to thread, because a way over run_warp() would double the switches, which are most of the
  /// time that the emulation takes.
  void pass_on(context::fiber& own) {
    while (!turns_.empty()) {
      Thread& next = *(backwards_ ? turns_.back() : turns_.front());
      turns_ = backwards_ ? turns_.first(turns_.size() - 1) : turns_.subspan(1);
      if (next.state == State::ready) {
        here = &next.place;
        return switch_to(next.self, own);
      }
    }
    if (&own != &scheduler_) switch_to(scheduler_, own);
  }

  /// Who goes on keeps the fiber of who left, in the place that it named.
  void switch_to(context::fiber& other, context::fiber& own) {
    left_ = &own;
    context::fiber from = std::move(other).resume();
    *left_ = std::move(from);
  }

  void run_block(const Shape& shape, uint3 block) {
    // All bits set: not a number, in any type.
    if (!shared_.empty()) std::memset(static_cast<void*>(shared_.data()), 0xff, shared_.size() * sizeof(double));
    for (unsigned i = 0; i < shape.threads; ++i) {
      threads_[i]->place = {{i, 0, 0}, block, dim3(shape.threads), shape.grid};
      threads_[i]->state = State::ready;
      threads_[i]->shuffles = 0;
    }
    backwards_ = blocks_run_++ % 2 == 1;
    const auto warps = static_cast<unsigned>(warps_.size());
    for (;;) {
      for (unsigned w = 0; w < warps; ++w) {
        run_warp(backwards_ ? warps - 1 - w : w, shape.threads);
      }
      if (pass_barriers(shape.threads)) continue;
      bool waiting = false;
      for (unsigned i = 0; i < shape.threads; ++i) {
        if (threads_[i]->state != State::waits_for_block) continue;
        threads_[i]->state = State::ready;
        waiting = true;
      }
      if (!waiting) return;
    }
  }

  /// Lets those go on of whom as many have come to a barrier as it waits for; whether there were any.
  bool pass_barriers(unsigned threads) {
    std::array<int, 5> come{};
    bool waiting = false, passed = false;
    for (unsigned i = 0; i < threads; ++i) {
      if (threads_[i]->state == State::waits_for_some) ++come.at(static_cast<std::size_t>(threads_[i]->barrier));
    }
    for (unsigned i = 0; i < threads; ++i) {
      Thread& t = *threads_[i];
      if (t.state != State::waits_for_some) continue;
      waiting = true;
      here = &t.place;
      if (come.at(static_cast<std::size_t>(t.barrier)) != t.barrier_threads) continue;
      t.state = State::ready;
      passed = true;
    }
    if (waiting && !passed) give_up("a barrier that not all of its threads come to");
    return passed;
  }

  /// Until every thread of the warp is done or waits for the block.
  void run_warp(unsigned warp, unsigned threads) {
    const unsigned begin = warp * lanes, end = std::min(begin + lanes, threads);
    for (;;) {
      turns_ = std::span(threads_).subspan(begin, end - begin);
      pass_on(scheduler_);
      unsigned shuffling = 0;
      for (unsigned k = begin; k < end; ++k) shuffling += threads_[k]->state == State::waits_for_warp ? 1 : 0;
      if (shuffling == 0) return;
      if (shuffling != lanes) {
        for (unsigned k = begin; k < end; ++k) {
          if (threads_[k]->state == State::waits_for_warp) here = &threads_[k]->place;
        }
        give_up("a shuffle that not all lanes of the warp take part in");
      }
      for (unsigned k = begin; k < end; ++k) threads_[k]->state = State::ready;
    }
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  std::vector<double> shared_;
  unsigned blocks_run_ = 0;
  bool backwards_ = false;
  std::span<const std::unique_ptr<Thread>> turns_;  ///< those of the warp that have not had their turn
  context::fiber scheduler_;                        ///< run_warp(), empty while it runs
  context::fiber* left_ = nullptr;
};

thread_local Multiprocessor multiprocessor;

}  // namespace

void run_grid(const Shape& shape, const std::function<void()>& body) { multiprocessor.run(shape, body); }

void* dynamic_shared_memory() { return multiprocessor.shared_memory(); }

void wait_for_some(int barrier, int threads) { multiprocessor.wait_for_some(barrier, threads); }

void wait_for_block() { multiprocessor.wait(State::waits_for_block); }

const void* shuffle(unsigned mask, const void* value, std::size_t bytes, int lane_mask) {
  if (mask != 0xffffffffu) give_up("a shuffle of some lanes only, which is not emulated");
  return multiprocessor.shuffle(value, bytes, lane_mask);
}

}  // namespace emulated_gpu
