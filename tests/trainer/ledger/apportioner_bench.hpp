#pragma once
/// An apportioner whose steps, marks and intervals are given in milliseconds, and what came out of it.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/energy/apportioner.hpp"

namespace blocktrain::trainer::test {

inline constexpr std::size_t cpu = 1, dram = 2;
inline constexpr std::int64_t ms = 1'000'000;
inline constexpr std::chrono::milliseconds patience{10'000};

inline std::vector<RankPlace> ranks_on_one_host(std::size_t count) { return std::vector<RankPlace>(count); }

struct Given {
  StepRecord record;
  BySource joules;
  std::array<std::string, energy_sources> reason;
};

struct Bench {
  std::vector<Given> given;
  EnergyApportioner apportioner;

  explicit Bench(std::vector<RankPlace> places)
      : apportioner(std::move(places), patience, [this](const StepRecord& record, const StepEnergy& energy) {
          Given g{record, energy.joules, {}};
          for (std::size_t i = 0; i < energy_sources; ++i) {
            if (energy.reason[i] != nullptr) g.reason[i] = *energy.reason[i];
          }
          given.push_back(g);
        }) {}

  void step(int rank, std::int64_t begin, std::int64_t end, int host = 0, std::int64_t now = 0) {
    StepRecord record = step_record(0, 0, rank);
    record.host = host;
    record.busy_begin = begin * ms;
    record.busy_end = end * ms;
    apportioner.add(record, now);
  }
  void work(int rank, BusyPurpose purpose, std::int64_t begin, std::int64_t end, int host = 0) {
    apportioner.add(WorkRecord{rank, host, purpose, {}, begin * ms, end * ms}, 0);
  }
  void mark(int rank, std::int64_t time, std::int64_t busy_since = 0) {
    apportioner.add(BusyMark{rank, 0, time * ms, busy_since * ms});
  }
  void energy(double joules, std::int64_t begin, std::int64_t end, EnergySource source = EnergySource::cpu,
              int host = 0, int device = -1) {
    EnergyRecord record;
    record.host = host;
    record.device = device;
    record.source = source;
    record.joules = joules;
    record.begin = begin * ms;
    record.end = end * ms;
    apportioner.add(record);
  }
  void absent(EnergySource source, int host = 0) { apportioner.add(no_sensor(source, "absent", host)); }
  void cpu_only(int host = 0) {
    absent(EnergySource::gpu, host);
    absent(EnergySource::dram, host);
  }
  const SourceTotals& totals(std::size_t source = cpu) const { return apportioner.totals()[source]; }
};

inline void check_sum(const SourceTotals& t) {
  BOOST_CHECK_SMALL((t.of(BusyPurpose::step) + t.of(BusyPurpose::evaluation) + t.of(BusyPurpose::checkpoint) + t.idle +
                     t.unattributed - t.measured) /
                        std::max(1.0, t.measured),
                    1e-9);
}

}  // namespace blocktrain::trainer::test
