#pragma once
/// A sensor of energy. It counts up; who wants joules of an interval takes the difference.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "trainer/ledger/records.hpp"

namespace blocktrain::trainer {

/// What a sensor says: joules, or why it has none and what the user can do about it.
struct EnergyReading {
  std::optional<double> joules;  ///< since some fixed moment; never decreases
  std::string reason;            ///< not empty exactly when there are no joules
};

class EnergySensor {
 public:
  virtual ~EnergySensor() = default;

  /// Where the numbers come from, e.g. "powercap".
  virtual std::string name() const = 0;
  virtual EnergySource source() const = 0;
  /// GPU index on this host, -1 for what serves the whole host.
  virtual int device() const { return -1; }
  /// The counter at `now` (monotonic_ns(), never less than in the call before). After a reading without joules every
  /// later one is without too: a hole in the middle of a run would go unnoticed in the sums.
  virtual EnergyReading read(std::int64_t now) = 0;
};

/// Stands for a source that this build or this run does not measure.
class AbsentSensor final : public EnergySensor {
 public:
  AbsentSensor(EnergySource source, std::string reason) : source_(source), reason_(std::move(reason)) {}

  std::string name() const override { return "none"; }
  EnergySource source() const override { return source_; }
  EnergyReading read(std::int64_t) override { return {std::nullopt, reason_}; }

 private:
  EnergySource source_;
  std::string reason_;
};

}  // namespace blocktrain::trainer
