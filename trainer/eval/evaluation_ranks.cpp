#include "trainer/eval/evaluation_ranks.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "comm/local/local_world.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"
#include "trainer/support/exit_status.hpp"

namespace blocktrain::trainer {
namespace {

constexpr auto control = comm::TrafficPurpose::control;
/// Beside those of a training (trainer/exchange/messages.hpp).
constexpr int tag_evaluation = 3;

/// What stands before the bytes of a result; all there is of other messages.
struct Header {
  enum class Kind : std::int64_t { alive = 1, result, let_go, wake };
  Kind kind = Kind::alive;
  std::int64_t phase = 0, piece = 0;
};

void post(comm::Communicator& world, int to, const Header& header, std::span<const std::byte> bytes = {}) {
  std::vector<std::byte> message(sizeof(header) + bytes.size());
  std::memcpy(message.data(), &header, sizeof(header));
  std::copy(bytes.begin(), bytes.end(), message.begin() + sizeof(header));
  world.post(to, tag_evaluation, message, control);
}

}  // namespace

EvaluationRanks::EvaluationRanks() : alone_(comm::make_single()), world_(*alone_) {}

EvaluationRanks::EvaluationRanks(comm::Communicator& world, std::chrono::milliseconds timeout)
    : world_(world), timeout_(timeout), heard_(static_cast<std::size_t>(world.size()), RunningClock::now()) {
  world.set_deadline(timeout);
  if (size() > 1) thread_ = start_thread("the sharing of an evaluation", [this] { serve(); });
}

EvaluationRanks::~EvaluationRanks() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  try {
    post(world_, rank(), {Header::Kind::wake});
  } catch (...) {
    // It looks by itself before it tells again that it lives.
  }
  thread_.join();
}

void EvaluationRanks::together(const std::function<void()>& work) {
  if (size() == 1) return work();
  all_or_none(world_, work);
}

std::vector<EvaluationRanks::Bytes> EvaluationRanks::run(std::int64_t pieces,
                                                         const std::function<Bytes(std::int64_t piece)>& work,
                                                         const ReportProgress& report) {
  const std::int64_t phase = phase_++;
  std::vector<Bytes> results(leads() ? static_cast<std::size_t>(pieces) : 0);
  std::vector<std::int64_t> owed(static_cast<std::size_t>(size()));
  for (std::int64_t piece = 0; piece < pieces; ++piece) ++owed[static_cast<std::size_t>(piece % size())];
  std::int64_t done = 0;
  const auto keep = [&](std::int64_t piece, Bytes bytes) {
    BLOCKTRAIN_EXPECTS(piece >= 0 && piece < pieces);
    results[static_cast<std::size_t>(piece)] = std::move(bytes);
    --owed[static_cast<std::size_t>(piece % size())];
    ++done;
  };
  const auto keep_arrived = [&] {
    std::vector<Result> taken;
    {
      const std::lock_guard lock(mutex_);
      const auto found = arrived_.find(phase);
      if (found == arrived_.end()) return;
      taken = std::move(found->second);
      arrived_.erase(found);
    }
    for (Result& result : taken) keep(result.piece, std::move(result.bytes));
  };

  for (std::int64_t piece = rank(); piece < pieces; piece += size()) {
    expect_healthy();
    Bytes bytes = work(piece);
    if (!leads()) {
      post(world_, 0, {Header::Kind::result, phase, piece}, bytes);
      continue;
    }
    keep(piece, std::move(bytes));
    keep_arrived();
    if (report) report(done, pieces);
  }
  while (leads() && done < pieces) {
    wait_for([&] { return arrived_.contains(phase); },
             [&](int other) { return owed[static_cast<std::size_t>(other)] > 0; });
    keep_arrived();
    if (report) report(done, pieces);
  }
  return results;
}

void EvaluationRanks::finish() {
  if (size() == 1) return;
  if (!leads()) return wait_for([this] { return let_go_; }, [](int other) { return other == 0; });
  for (int other = 1; other < size(); ++other) post(world_, other, {Header::Kind::let_go});
}

void EvaluationRanks::expect_healthy() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

void EvaluationRanks::wait_for(const std::function<bool()>& ready, const std::function<bool(int rank)>& owing) {
  std::unique_lock lock(mutex_);
  while (!ready()) {
    if (failure_) std::rethrow_exception(failure_);
    const auto now = RunningClock::now();
    auto next = now + timeout_;
    std::vector<int> silent;
    for (int other = 0; other < size(); ++other) {
      if (other == rank() || !owing(other)) continue;
      const auto end = heard_[static_cast<std::size_t>(other)] + timeout_;
      if (end <= now) silent.push_back(other);
      next = std::min(next, end);
    }
    if (!silent.empty()) {
      throw RunError("rank " + std::to_string(rank()) + ": nothing was heard of " + comm::ranks_text(silent) + " for " +
                     comm::seconds_text(timeout_) + " (parallel.timeout_seconds); " +
                     (silent.size() == 1 ? "it" : "they") + " may be dead, stuck or overloaded");
    }
    changed_.wait_for(lock, std::min<RunningClock::duration>(next - now, longest_unwatched));
  }
}

void EvaluationRanks::serve() {
  using std::chrono::milliseconds;
  const milliseconds period = std::clamp(timeout_ / 10, milliseconds(1), milliseconds(1000));
  try {
    auto next = RunningClock::now();
    while (!stopping_) {
      const auto now = RunningClock::now();
      if (now >= next) {
        tell_alive();
        next = now + period;
      }
      const auto left = std::chrono::ceil<milliseconds>(next - now);
      if (const auto message = world_.wait(tag_evaluation, left)) take(*message);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

void EvaluationRanks::tell_alive() {
  if (!leads()) return post(world_, 0, {Header::Kind::alive});
  for (int other = 1; other < size(); ++other) post(world_, other, {Header::Kind::alive});
}

void EvaluationRanks::take(const comm::Message& message) {
  Header header;
  BLOCKTRAIN_EXPECTS(message.payload.size() >= sizeof(header));
  std::memcpy(&header, message.payload.data(), sizeof(header));
  const std::lock_guard lock(mutex_);
  heard_[static_cast<std::size_t>(message.source)] = RunningClock::now();
  if (header.kind == Header::Kind::result) {
    const auto bytes = std::span(message.payload).subspan(sizeof(header));
    arrived_[header.phase].push_back({header.piece, Bytes(bytes.begin(), bytes.end())});
  }
  if (header.kind == Header::Kind::let_go) let_go_ = true;
  changed_.notify_all();
}

}  // namespace blocktrain::trainer
