#pragma once
/// Samples sensors of one host. Every sensor has exactly one owner among the ranks: two would count the same joules
/// twice. CPUs and memory belong to one rank of the host, each GPU board to one that uses it (gpu_boards.hpp).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "trainer/ledger/energy/sensor.hpp"
#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

/// What a sampler found out. Called from its thread, and from the thread that starts and stops it, never from two at
/// once; must not throw.
struct EnergyListener {
  std::function<void(const EnergyRecord&)> energy;
  std::function<void(const SourceStatus&)> status;
};

/// Turns counters into intervals, one call at a time: the sampler without its thread.
class EnergyCollector {
 public:
  /// At most this much time between two readings, whatever the interval of the records: far less than the 65 kJ after
  /// which the smallest counters wrap (energy/powercap.hpp).
  static constexpr double longest_poll_seconds = 10;

  EnergyCollector(std::vector<std::unique_ptr<EnergySensor>> sensors, int host, EnergyListener listener);

  /// First readings: reports the status of every sensor. Steps that begin later are covered.
  void begin(std::int64_t now);
  /// Reads all counters; reports the interval since the last report when `report`. A sensor that fails is reported as
  /// not available, behind its last interval: what it counted up to its last reading.
  void sample(std::int64_t now, bool report);

 private:
  struct Meter {
    std::unique_ptr<EnergySensor> sensor;
    bool alive = true;
    double reported = 0, read = 0;            ///< joules
    double reported_lag = -1, read_lag = -1;  ///< joules that the counter may lack there; -1: not known
    std::int64_t reported_time = 0, read_time = 0;
  };
  void report(Meter& meter);
  void announce(const Meter& meter, bool available, const std::string& reason);

  std::vector<Meter> meters_;
  int host_;
  EnergyListener listener_;
};

/// The collector with a thread that samples every `sample_seconds` (energy.sample_seconds).
class HostEnergySampler {
 public:
  /// Reads the sensors once before it returns, so create it before the first step. Throws InputError when
  /// sample_seconds is not between 0.01 and 3600.
  HostEnergySampler(std::vector<std::unique_ptr<EnergySensor>> sensors, int host, double sample_seconds,
                    EnergyListener listener);
  HostEnergySampler(const HostEnergySampler&) = delete;
  HostEnergySampler& operator=(const HostEnergySampler&) = delete;
  ~HostEnergySampler();

  /// Takes a last sample, reports it and ends the thread. Steps that ended before are covered then. May be called
  /// again.
  void stop();

 private:
  void run();

  EnergyCollector collector_;
  double poll_seconds_;
  int polls_per_report_;
  int wake_ = -1;  ///< eventfd that ends the thread's wait
  std::thread thread_;
};

}  // namespace blocktrain::trainer
