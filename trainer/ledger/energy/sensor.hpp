#pragma once
/// A sensor of energy. It counts up; who wants joules of an interval takes the difference.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "trainer/ledger/energy/update_period.hpp"
#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

/// What a sensor says: joules, or why it has none and what the user can do about it.
struct EnergyReading {
  std::optional<double> joules;  ///< since some fixed moment; never decreases
  std::string reason;            ///< not empty exactly when there are no joules
  double lag_joules = -1;        ///< what the counter may lack, since it moves only now and then; -1: not known
};

class EnergySensor {
 public:
  virtual ~EnergySensor() = default;

  /// Where the numbers come from, e.g. "powercap".
  virtual std::string name() const = 0;
  virtual EnergySource source() const = 0;
  /// GPU index on this host, -1 for what serves the whole host.
  virtual int device() const { return -1; }
  /// At what period the counter moves.
  virtual const UpdatePeriod& update_period() const {
    static const UpdatePeriod not_measured{-1, "not measured for this sensor"};
    return not_measured;
  }
  /// The counter at `now` (monotonic_ns(), never less than in the call before). After a reading without joules every
  /// later one is without too: a hole in the middle of a run would go unnoticed in the sums.
  virtual EnergyReading read(std::int64_t now) = 0;
};

/// Stands for a source that this build or this run does not measure.
class AbsentSensor final : public EnergySensor {
 public:
  AbsentSensor(EnergySource source, std::string reason, int device = -1)
      : source_(source), device_(device), reason_(std::move(reason)) {}

  std::string name() const override { return "none"; }
  EnergySource source() const override { return source_; }
  int device() const override { return device_; }
  EnergyReading read(std::int64_t) override { return {std::nullopt, reason_}; }

 private:
  EnergySource source_;
  int device_;
  std::string reason_;
};

}  // namespace blocktrain::trainer
