#pragma once
/// Gives training steps their share of measured joules. Sensors are slower than steps, so an interval of a sensor
/// covers many steps, of all ranks of its host, and a long step spans many intervals.
///
/// An interval's joules are divided over its time. The time in which nothing was running is idle; the joules of the
/// rest are split among the steps and the other work (evaluations, checkpoints) that ran in the interval in proportion
/// to the time they ran in it. So for each source
///     measured = attributed + evaluation + checkpoint + idle + unattributed (+ pending until the run ends)
/// where attributed are the shares of steps, and unattributed are the shares of what could not be covered in full and
/// of what never reported. Shares are estimates: busy time is what is known of a step, not its power.
///
/// An interval is split once every rank of its host has said what it did until the interval's end: by a later step
/// record, by a BusyMark, or by being done. A step's shares are final when intervals without a hole cover it.
///
/// Runs in the coordinator, in one thread.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

/// Where a rank runs.
struct RankPlace {
  std::int32_t host = 0;
  std::int32_t device = -1;  ///< GPU index on the host; -1: CPU
};

/// Shares of one step. A source without a share has a reason instead.
struct StepEnergy {
  BySource joules{};
  std::array<const std::string*, energy_sources> reason{};  ///< null where joules count; owned by the apportioner
};

/// Joules of one source, all hosts.
struct SourceTotals {
  bool measured_at_all = false;  ///< some interval was reported
  double measured = 0;
  std::array<double, busy_purposes> booked{};  ///< shares that are final, by BusyPurpose
  double idle = 0, unattributed = 0;

  double of(BusyPurpose purpose) const { return booked[static_cast<std::size_t>(purpose)]; }
};

class EnergyApportioner {
 public:
  /// Called with every step, in the order of each rank, as soon as its shares are final.
  using Sink = std::function<void(const StepRecord&, const StepEnergy&)>;

  /// `places` by rank. A step waits at most `patience` for its energy (tick()), then goes on without.
  EnergyApportioner(std::vector<RankPlace> places, std::chrono::milliseconds patience, Sink sink);

  /// `now`: monotonic_ns() of the coordinator, for the patience. Throws RunError for a rank that is not in `places`.
  void add(const StepRecord& record, std::int64_t now);
  /// The same for other work of a rank, in one order with its steps.
  void add(const WorkRecord& record, std::int64_t now);
  void add(const BusyMark& mark);
  /// Throws RunError when the interval overlaps one that came before: two owners of one sensor.
  void add(const EnergyRecord& record);
  void add(const SourceStatus& status);

  /// The rank is finished, failed or lost: it reports no more steps.
  void rank_done(int rank);
  /// Lets go of steps that have waited longer than the patience.
  void tick(std::int64_t now);
  /// The run ends: what is still waiting gets what it has coming, or a reason.
  void finish();

  const std::array<SourceTotals, energy_sources>& totals() const { return totals_; }
  /// Steps and other work whose shares are not final.
  std::size_t pending() const;

 private:
  struct Share {
    double joules = 0;
    bool settled = false;
    const std::string* reason = nullptr;
  };
  struct PendingStep {  ///< or other work: then `record` has rank, host and busy time alone
    StepRecord record;
    BusyPurpose purpose = BusyPurpose::step;
    std::int64_t arrived = 0;
    std::array<Share, energy_sources> shares;
  };
  struct Rank {
    RankPlace place;
    std::int64_t known_until = 0;
    std::int64_t last_end = 0;  ///< of the last recorded step or other work
    bool running = false;       ///< `open` is a step or other work that began and has not reported
    PendingStep open;
    std::deque<PendingStep> steps;
  };
  struct Interval {
    double joules;
    std::int64_t begin, end;
  };
  struct Meter {  ///< one sensor, or a source of which nothing is known yet
    std::size_t source = 0;
    std::vector<int> ranks;
    std::deque<Interval> waiting;
    bool covers = false;           ///< some interval was split
    std::int64_t cover_begin = 0;  ///< of the intervals split so far without a hole
    std::int64_t cover_end = 0;
    std::int64_t received_end = 0;
    const std::string* gone = nullptr;  ///< why no more intervals come
  };
  using Key = std::tuple<int, std::size_t, int>;  ///< host, source, device

  void add(const StepRecord& record, BusyPurpose purpose, std::int64_t now);
  Meter& meter(int host, std::size_t source, int device);
  Meter& meter_of(const Rank& rank, std::size_t source);
  void advance(Meter& meter);
  void advance_host(int host);
  void split(Meter& meter, const Interval& interval);
  void settle(const Meter& meter, PendingStep& step);
  void settle_without(PendingStep& step, std::size_t source, const std::string* reason);
  void drop_open(Rank& rank);
  void release(Rank& rank);
  const std::string* intern(const std::string& text);

  std::vector<Rank> ranks_;
  std::int64_t patience_;
  Sink sink_;
  std::map<Key, Meter> meters_;
  std::array<SourceTotals, energy_sources> totals_;
  std::set<std::string> reasons_;                                // nodes stay where they are, so pointers to them last
  std::vector<std::pair<std::int64_t, std::int64_t>> segments_;  // scratch of split()
  std::vector<std::pair<Share*, std::int64_t>> takers_;          // scratch of split()
};

}  // namespace blocktrain::trainer
