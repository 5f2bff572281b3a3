#include "trainer/ledger/energy/apportioner.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max();

/// Whether a step missed enough of the sharing to go without. Clocks of two threads may disagree by a little: a step
/// that turns out to have begun just before the end of a split interval loses that part of its share to idle.
bool came_too_late(const StepRecord& step, std::int64_t split_until) {
  constexpr std::int64_t tolerance_ns = 1'000'000;
  const std::int64_t missed = std::min(split_until, step.busy_end) - step.busy_begin;
  return missed > 0 && missed > std::min(tolerance_ns, (step.busy_end - step.busy_begin) / 10);
}

constexpr std::size_t gpu = static_cast<std::size_t>(EnergySource::gpu);

}  // namespace

EnergyApportioner::EnergyApportioner(std::vector<RankPlace> places, std::chrono::milliseconds patience, Sink sink)
    : patience_(std::chrono::duration_cast<std::chrono::nanoseconds>(patience).count()), sink_(std::move(sink)) {
  ranks_.resize(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    ranks_[i].place = places[i];
    for (std::size_t source = 0; source < energy_sources; ++source) {
      meter_of(ranks_[i], source).ranks.push_back(static_cast<int>(i));
    }
  }
  // Nobody reports on the GPU of a rank that has none where others have: without this its steps would wait for it.
  for (const Rank& rank : ranks_) {
    if (rank.place.device < 0) continue;
    const auto without = meters_.find({rank.place.host, gpu, -1});
    if (without != meters_.end()) without->second.gone = intern("this rank uses no GPU");
  }
}

EnergyApportioner::Meter& EnergyApportioner::meter(int host, std::size_t source, int device) {
  Meter& found = meters_[{host, source, device}];
  found.source = source;
  return found;
}

EnergyApportioner::Meter& EnergyApportioner::meter_of(const Rank& rank, std::size_t source) {
  return meter(rank.place.host, source, source == gpu ? rank.place.device : -1);
}

const std::string* EnergyApportioner::intern(const std::string& text) { return &*reasons_.insert(text).first; }

void EnergyApportioner::add(const StepRecord& record, std::int64_t now) { add(record, BusyPurpose::step, now); }

void EnergyApportioner::add(const WorkRecord& record, std::int64_t now) {
  StepRecord busy;
  busy.rank = record.rank;
  busy.host = record.host;
  busy.busy_begin = record.busy_begin;
  busy.busy_end = record.busy_end;
  add(busy, record.purpose, now);
}

void EnergyApportioner::add(const StepRecord& record, BusyPurpose purpose, std::int64_t now) {
  if (record.rank < 0 || record.rank >= static_cast<int>(ranks_.size()) ||
      ranks_[static_cast<std::size_t>(record.rank)].place.host != record.host) {
    throw RunError("the ledger got a step of rank " + std::to_string(record.rank) + " on host " +
                   std::to_string(record.host) + ", which is not in the plan");
  }
  Rank& rank = ranks_[static_cast<std::size_t>(record.rank)];
  PendingStep step;
  if (rank.running && rank.open.record.busy_begin == record.busy_begin) {
    step = rank.open;
    rank.running = false;
  } else {
    drop_open(rank);
    for (std::size_t source = 0; source < energy_sources; ++source) {
      const Meter& m = meter_of(rank, source);
      if (m.covers && came_too_late(record, m.cover_end)) {
        settle_without(step, source, intern("the step was reported after its energy had been shared out"));
      }
    }
  }
  step.record = record;
  step.purpose = purpose;
  step.arrived = now;
  rank.steps.push_back(step);
  rank.known_until = std::max(rank.known_until, record.busy_end);
  rank.last_end = std::max(rank.last_end, record.busy_end);
  for (std::size_t source = 0; source < energy_sources; ++source) settle(meter_of(rank, source), rank.steps.back());
  advance_host(record.host);
}

void EnergyApportioner::add(const BusyMark& mark) {
  if (mark.rank < 0 || mark.rank >= static_cast<int>(ranks_.size())) {
    throw RunError("the ledger got a mark of rank " + std::to_string(mark.rank) + ", which is not in the plan");
  }
  Rank& rank = ranks_[static_cast<std::size_t>(mark.rank)];
  if (mark.time <= rank.known_until) return;
  // A step that began before the last recorded one ended has been recorded: the mark is older than the records.
  const bool running = mark.busy_since != 0 && mark.busy_since >= rank.last_end && mark.busy_since <= mark.time;
  if (!running || (rank.running && rank.open.record.busy_begin != mark.busy_since)) drop_open(rank);
  if (running && !rank.running) {
    rank.open = PendingStep{};
    rank.open.record.busy_begin = mark.busy_since;
    rank.running = true;
  }
  rank.known_until = mark.time;
  advance_host(rank.place.host);
}

void EnergyApportioner::add(const EnergyRecord& record) {
  Meter& m = meter(record.host, static_cast<std::size_t>(record.source), record.device);
  if (record.begin < m.received_end) {
    throw RunError("energy of " + std::string(to_string(record.source)) + " on host " + std::to_string(record.host) +
                   " came twice for the same time: two ranks sample one sensor");
  }
  m.received_end = record.end;
  SourceTotals& totals = totals_[m.source];
  totals.measured_at_all = true;
  totals.measured += record.joules;
  m.waiting.push_back({record.joules, record.begin, record.end});
  advance(m);
  for (const int rank : m.ranks) release(ranks_[static_cast<std::size_t>(rank)]);
}

void EnergyApportioner::add(const SourceStatus& status) {
  if (status.available) return;
  const std::string* reason = intern(status.reason.empty() ? "the sensor gave no reason" : status.reason);
  const auto source = static_cast<std::size_t>(status.source);
  meter(status.host, source, status.device).gone = reason;
  advance_host(status.host);
}

void EnergyApportioner::rank_done(int rank) {
  Rank& done = ranks_.at(static_cast<std::size_t>(rank));
  done.known_until = forever;
  drop_open(done);
  advance_host(done.place.host);
}

void EnergyApportioner::tick(std::int64_t now) {
  for (Rank& rank : ranks_) {
    for (PendingStep& step : rank.steps) {
      if (now - step.arrived <= patience_) break;  // later ones arrived later
      for (std::size_t source = 0; source < energy_sources; ++source) {
        if (step.shares[source].settled) continue;
        settle_without(
            step, source,
            intern("no energy was reported for this step within " + std::to_string(patience_ / 1'000'000'000) + " s"));
      }
    }
    release(rank);
  }
}

void EnergyApportioner::finish() {
  for (Rank& rank : ranks_) {
    rank.known_until = forever;
    drop_open(rank);
  }
  for (auto& [key, m] : meters_) {
    advance(m);
    if (m.gone == nullptr) m.gone = intern("the run ended before the energy of this step was measured");
    advance(m);
  }
  for (Rank& rank : ranks_) release(rank);
}

std::size_t EnergyApportioner::pending() const {
  std::size_t count = 0;
  for (const Rank& rank : ranks_) count += rank.steps.size();
  return count;
}

void EnergyApportioner::advance_host(int host) {
  for (auto it = meters_.lower_bound({host, 0, std::numeric_limits<int>::min()});
       it != meters_.end() && std::get<0>(it->first) == host; ++it) {
    advance(it->second);
  }
  for (Rank& rank : ranks_) {
    if (rank.place.host == host) release(rank);
  }
}

void EnergyApportioner::advance(Meter& m) {
  std::int64_t known = forever;
  for (const int rank : m.ranks) known = std::min(known, ranks_[static_cast<std::size_t>(rank)].known_until);
  while (!m.waiting.empty() && m.waiting.front().end <= known) {
    split(m, m.waiting.front());
    m.waiting.pop_front();
  }
  if (m.gone == nullptr || !m.waiting.empty()) return;
  for (const int rank : m.ranks) {
    for (PendingStep& step : ranks_[static_cast<std::size_t>(rank)].steps) settle(m, step);
  }
}

void EnergyApportioner::split(Meter& m, const Interval& interval) {
  if (!m.covers || interval.begin != m.cover_end) m.cover_begin = interval.begin;
  m.covers = true;
  m.cover_end = interval.end;

  segments_.clear();
  takers_.clear();
  std::int64_t taken = 0;
  const auto take = [&](PendingStep& step, std::int64_t step_end) {
    Share& share = step.shares[m.source];
    const std::int64_t begin = std::max(interval.begin, step.record.busy_begin);
    const std::int64_t end = std::min(interval.end, step_end);
    if (begin >= end) return;
    segments_.emplace_back(begin, end);
    takers_.emplace_back(&share, end - begin);
    taken += end - begin;
  };
  for (const int index : m.ranks) {
    Rank& rank = ranks_[static_cast<std::size_t>(index)];
    for (PendingStep& step : rank.steps) take(step, step.record.busy_end);
    if (rank.running) take(rank.open, interval.end);
  }
  std::sort(segments_.begin(), segments_.end());
  std::int64_t busy = 0, reached = interval.begin;
  for (const auto& [begin, end] : segments_) {
    busy += std::max<std::int64_t>(0, end - std::max(begin, reached));
    reached = std::max(reached, end);
  }

  SourceTotals& totals = totals_[m.source];
  double shared = 0;
  if (taken > 0) {
    const double busy_joules =
        interval.joules * (static_cast<double>(busy) / static_cast<double>(interval.end - interval.begin));
    for (const auto& [share, overlap] : takers_) {
      const double joules = busy_joules * (static_cast<double>(overlap) / static_cast<double>(taken));
      shared += joules;
      if (share->settled) {
        totals.unattributed += joules;  // the step has gone without, see tick()
      } else {
        share->joules += joules;
      }
    }
  }
  totals.idle += interval.joules - shared;
  for (const int index : m.ranks) {
    for (PendingStep& step : ranks_[static_cast<std::size_t>(index)].steps) settle(m, step);
  }
}

void EnergyApportioner::settle(const Meter& m, PendingStep& step) {
  Share& share = step.shares[m.source];
  if (share.settled) return;
  if (m.covers && step.record.busy_end <= m.cover_end) {
    if (step.record.busy_begin < m.cover_begin) {
      settle_without(step, m.source, intern("the sensor did not cover the whole step"));
      return;
    }
    share.settled = true;
    totals_[m.source].booked[static_cast<std::size_t>(step.purpose)] += share.joules;
  } else if (m.gone != nullptr && m.waiting.empty()) {
    settle_without(step, m.source, m.gone);
  }
}

void EnergyApportioner::settle_without(PendingStep& step, std::size_t source, const std::string* reason) {
  Share& share = step.shares[source];
  share.settled = true;
  share.reason = reason;
  totals_[source].unattributed += share.joules;
  share.joules = 0;
}

void EnergyApportioner::drop_open(Rank& rank) {
  if (!rank.running) return;
  for (std::size_t source = 0; source < energy_sources; ++source) {
    totals_[source].unattributed += rank.open.shares[source].joules;
  }
  rank.running = false;
}

void EnergyApportioner::release(Rank& rank) {
  while (!rank.steps.empty()) {
    const PendingStep& step = rank.steps.front();
    StepEnergy energy;
    for (std::size_t source = 0; source < energy_sources; ++source) {
      if (!step.shares[source].settled) return;
      energy.joules[source] = step.shares[source].joules;
      energy.reason[source] = step.shares[source].reason;
    }
    const StepRecord record = step.record;
    const bool is_step = step.purpose == BusyPurpose::step;
    rank.steps.pop_front();  // first, so that a sink that throws leaves no step to be given twice
    if (is_step) sink_(record, energy);
  }
}

}  // namespace blocktrain::trainer
