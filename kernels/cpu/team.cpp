#include "kernels/cpu/team.hpp"

#include <strings.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::kernels {
namespace {

// Measured with bench_step on two cores (docs/decisions.md, "Own teams of threads").
constexpr std::chrono::microseconds default_look_out{50};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Looks until `there` or the time is over; whether it came.
template <class There>
bool comes_soon(const LookOut& patience, There there) {
  constexpr int looks_per_clock = 16;
  if (patience.looks >= 0) {
    for (std::int64_t n = 0; n < patience.looks; ++n) {
      if (there()) return true;
      relax();
    }
    return there();
  }
  const auto end = std::chrono::steady_clock::now() + patience.time;
  do {
    for (int n = 0; n < looks_per_clock; ++n) {
      if (there()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

/// What the members of a team do together: one loop at a time.
///
/// Members take pieces from `left_`. Who took one has to hand it in (`pending_`) before the loop can end, so what the
/// loop is (`piece_`, `context_`, `count_`) may be read by whoever holds a piece, and is written only when nobody does.
/// A worker that comes late finds nothing left, whichever loop that was of.
class Team {
 public:
  explicit Team(const LookOut& patience) : patience_(patience) {}
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  ~Team() {
    stop_.store(true, std::memory_order_relaxed);
    loops_.fetch_add(1);
    loops_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void grow(int threads) {
    workers_.reserve(static_cast<std::size_t>(threads));
    while (static_cast<int>(workers_.size()) + 1 < threads) {
      const int member = static_cast<int>(workers_.size()) + 1;
      workers_.push_back(start_thread("compute thread " + std::to_string(member + 1) + " of " + std::to_string(threads),
                                      [this, member] { work(member); }));
    }
  }

  void run(int threads, std::int64_t count, void (*piece)(void*, std::int64_t, int), void* context) {
    BLOCKTRAIN_EXPECTS(count < std::numeric_limits<std::uint32_t>::max());
    piece_ = piece;
    context_ = context;
    count_ = count;
    pending_.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
    left_.store(static_cast<std::uint64_t>(threads) << 32 | static_cast<std::uint64_t>(count),
                std::memory_order_release);
    loops_.fetch_add(1);
    loops_.notify_all();
    compute(0);
    const auto over = [this] { return pending_.load(std::memory_order_acquire) == 0; };
    if (comes_soon(patience_, over)) return;
    // No deadline: others compute their pieces, as this thread did.
    for (std::uint32_t open; (open = pending_.load(std::memory_order_acquire)) != 0;) pending_.wait(open);
  }

 private:
  /// Takes a piece for `member`; false where none is left for it.
  bool take(int member, std::int64_t& i) {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    do {
      if ((left & 0xffffffff) == 0 || static_cast<std::uint64_t>(member) >= left >> 32) return false;
    } while (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed));
    i = count_ - static_cast<std::int64_t>(left & 0xffffffff);
    return true;
  }

  void compute(int member) {
    std::uint32_t done = 0;
    for (std::int64_t i; take(member, i); ++done) piece_(context_, i, member);
    if (done > 0 && pending_.fetch_sub(done, std::memory_order_acq_rel) == done) pending_.notify_one();
  }

  void work(int member);

  const LookOut patience_;
  std::vector<std::thread> workers_;
  void (*piece_)(void*, std::int64_t, int) = nullptr;
  void* context_ = nullptr;
  std::int64_t count_ = 0;
  // Apart: each is written by other threads at other times.
  alignas(64) std::atomic<std::uint64_t> left_{0};     ///< pieces that nobody took; above 32 bits, how many threads may
  alignas(64) std::atomic<std::uint32_t> pending_{0};  ///< pieces that are not handed in
  alignas(64) std::atomic<std::uint32_t> loops_{0};    ///< counts loops: what workers wait for
  std::atomic<bool> stop_{false};
};

thread_local bool t_inside = false;

void Team::work(int member) {
  t_inside = true;
  while (true) {
    const std::uint32_t seen = loops_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    compute(member);
    const auto next = [&] { return loops_.load(std::memory_order_acquire) != seen; };
    if (!comes_soon(patience_, next)) loops_.wait(seen);  // no deadline: the destructor always ends this wait
  }
}

Team& team_of_this_thread() {
  static const LookOut patience = look_out(std::getenv("OMP_WAIT_POLICY"), std::getenv("GOMP_SPINCOUNT"));
  thread_local Team team(patience);
  return team;
}

}  // namespace

LookOut look_out(const char* wait_policy, const char* spin_count) {
  constexpr std::int64_t without_end = std::numeric_limits<std::int64_t>::max();
  LookOut chosen{default_look_out, -1};
  if (wait_policy != nullptr && strcasecmp(wait_policy, "active") == 0) chosen.looks = without_end;
  if (wait_policy != nullptr && strcasecmp(wait_policy, "passive") == 0) chosen.looks = 0;
  if (spin_count == nullptr) return chosen;
  if (strcasecmp(spin_count, "infinity") == 0 || strcasecmp(spin_count, "infinite") == 0) {
    chosen.looks = without_end;
    return chosen;
  }
  std::int64_t looks = -1;
  const char* const end = spin_count + std::strlen(spin_count);
  const auto [rest, error] = std::from_chars(spin_count, end, looks);
  if (error == std::errc{} && rest == end && looks >= 0) chosen.looks = looks;
  return chosen;
}

void prepare_team(int threads) {
  if (threads > 1 && !t_inside) team_of_this_thread().grow(threads);
}

bool detail::inside_piece() noexcept { return t_inside; }

void detail::run_pieces(int threads, std::int64_t count, void (*piece)(void*, std::int64_t, int), void* context) {
  Team& team = team_of_this_thread();
  team.grow(threads);  // what may throw comes first
  t_inside = true;
  team.run(threads, count, piece, context);
  t_inside = false;
}

}  // namespace blocktrain::kernels
