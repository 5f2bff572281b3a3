// The coordinator's part about ranks that fall silent: giving one up, and ending the job without it.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "trainer/coordinator/coordinator.hpp"
#include "trainer/support/output.hpp"

namespace blocktrain::trainer {

void Coordinator::watch_ranks() {
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const std::chrono::duration<double> silent = RunningClock::now() - ranks_[r].last_heard;
    if (ranks_[r].closed || silent.count() < settings_.config.parallel.timeout_seconds) continue;
    give_up(static_cast<int>(r), silent.count());
  }
}

void Coordinator::give_up(int rank, double silent_seconds) {
  const int host = settings_.hosts.host_of_rank[static_cast<std::size_t>(rank)];
  const std::string text =
      fmt::format("rank {} on {} was not heard for {:.0f} s (parallel.timeout_seconds) and is given up", rank,
                  settings_.hosts.hostnames[static_cast<std::size_t>(host)], silent_seconds);
  // Coupled ranks have no step without it at which they could be saved together.
  const char* const others =
      settings_.plan.coupling.coupled() ? "; the others end with it." : "; the others save and end.";
  complain(text + others + " What is committed is safe: continue with --resume");
  if (message_.empty()) message_ = text;
  failed_ = true;
  failure_code_ = std::max(failure_code_, 1);
  Rank& lost = ranks_[static_cast<std::size_t>(rank)];
  lost.ended = lost.closed = true;
  for (int block = 0; block < static_cast<int>(blocks_.size()); ++block) {
    BlockEnding& b = blocks_[static_cast<std::size_t>(block)];
    const std::vector<int>& ranks = settings_.plan.placement.ranks_of_block[static_cast<std::size_t>(block)];
    const bool there =
        rebalancer_ ? rebalancer_->owner(block) == rank : std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
    if (!there || b.ranks_left == 0) continue;
    --b.ranks_left;
    fail_block(block, b.step, rank, text + "; its last checkpoint stands: continue with --resume");
    if (progress_) progress_->set_state(block, "FAILED");
  }
  if (rebalancer_) rebalancer_->gone(rank);
  ledger_->rank_done(rank);
  if (!leave_by_) leave_by_ = RunningClock::now() + settings_.config.parallel.timeout() / 2;
  ask_to_stop(settings_.plan.coupling.coupled() ? "a rank is lost: the others end"
                                                : "a rank is lost: the others save and end");
}

void Coordinator::leave() {
  // MPI cannot end in order without all of its ranks.
  tell(ControlKind::abort, 1);
  world_.abort(1);
  std::abort();  // never reached: that a virtual function does not return is lost on the compiler
}

}  // namespace blocktrain::trainer
