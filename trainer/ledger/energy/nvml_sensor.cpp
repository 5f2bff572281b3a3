#include "trainer/ledger/energy/nvml_sensor.hpp"

#include <algorithm>
#include <utility>

namespace blocktrain::trainer {

namespace {

/// Where the counters of some drivers begin again.
constexpr std::uint64_t wrap = std::uint64_t{1} << 32;
/// A board whose limit is not known, or that passes it for a moment, draws less.
constexpr double largest_watts = 2000;
/// What NVML's power usage is the mean of, on boards since Ampere (but GA100); on others it is of the moment, but none
/// says which it is.
constexpr double power_window_seconds = 1;
/// Counters move in lumps, and the time of a reading is not the time of the move.
constexpr double slack_seconds = 1;

std::string joules(std::uint64_t millijoules) { return std::to_string(millijoules / 1000) + " J"; }

}  // namespace

NvmlSensor::NvmlSensor(std::shared_ptr<const NvmlSession> session, const GpuInUse& gpu, const PollClock& clock)
    : session_(std::move(session)), gpu_(gpu) {
  find_board(clock);
}

int NvmlSensor::read_counter(std::uint64_t& millijoules) const {
  unsigned long long value = 0;
  const int code = session_->api().total_energy(handle_, &value);
  millijoules = value;
  return code;
}

void NvmlSensor::find_board(const PollClock& clock) {
  if (gpu_.uuid.starts_with("MIG-")) {
    reason_ = gpu_.uuid + " is a MIG instance: NVML counts the energy of whole boards only";
    return;
  }
  int code = session_->api().device_by_uuid(gpu_.uuid.c_str(), &handle_);
  if (code == nvml_not_found || code == nvml_invalid_argument) {
    reason_ = "NVML knows no GPU with the UUID " + gpu_.uuid + ": " + session_->error(code) +
              ". A MIG instance has no energy counter of its own";
    return;
  }
  if (code == nvml_success) code = read_counter(last_);
  if (code != nvml_success) {
    const std::string name = handle_ == nullptr ? "" : session_->name(handle_);
    const std::string board = name.empty() ? gpu_.uuid : name + " (" + gpu_.uuid + ")";
    reason_ = code == nvml_not_supported
                  ? board + " has no counter of its total energy: it is older than Volta, or a virtual GPU"
                  : "the energy counter of " + board + " cannot be read: " + session_->error(code);
    return;
  }
  most_watts_ = largest_watts;
  unsigned limit = 0;
  if (session_->api().power_limit != nullptr && session_->api().power_limit(handle_, &limit) == nvml_success) {
    most_watts_ = std::max(most_watts_, limit * 1e-3);
  }
  last_time_ = power_time_ = clock.now();
  bool seen = last_ != 0;
  period_ = measure_update_period(
      [this, &seen]() -> std::optional<std::uint64_t> {
        std::uint64_t value = 0;
        if (read_counter(value) != nvml_success) return std::nullopt;
        seen = seen || value != 0;
        return value;
      },
      clock);
  // It counts from the load of the driver, so 0 can only mean that it does not count; 0 J would be a lie.
  if (!seen) reason_ = "the energy counter of " + gpu_.uuid + " stands at 0: this board does not count";
}

EnergyReading NvmlSensor::fail(std::string reason) {
  reason_ = std::move(reason);
  return {std::nullopt, reason_};
}

EnergyReading NvmlSensor::read(std::int64_t now) {
  if (!reason_.empty()) return {std::nullopt, reason_};
  std::uint64_t value = 0;
  if (const int code = read_counter(value); code != nvml_success) {
    return fail("the energy counter of " + gpu_.uuid + " can no longer be read: " + session_->error(code));
  }
  const double seconds = std::max(0.0, static_cast<double>(now - last_time_) * 1e-9);
  const double slack = std::max(slack_seconds, 2 * period_.seconds);
  const auto most = static_cast<std::uint64_t>(most_watts_ * (seconds + slack) * 1e3);
  std::uint64_t added = value - last_;
  if (value < last_) {
    const bool wrapped = last_ < wrap && wrap - last_ + value <= most;
    if (!wrapped) {
      return fail("the energy counter of " + gpu_.uuid + " was set back from " + joules(last_) + " to " +
                  joules(value) + ": the driver was reset or loaded again");
    }
    added = wrap - last_ + value;
  } else if (added > most) {
    return fail("the energy counter of " + gpu_.uuid + " leapt by " + joules(added) + ", more than the board can draw");
  }
  last_ = value;
  last_time_ = std::max(last_time_, now);
  millijoules_ += added;
  measure_power(now);
  EnergyReading reading{static_cast<double>(millijoules_) * 1e-3, {}};
  reading.lag_joules = lag_joules();
  return reading;
}

double NvmlSensor::lag_joules() const {
  if (period_.seconds < 0 || (watts_ < 0 && window_joules_ < 0)) return -1;
  // All of the window's energy may have come in the period at its end, as far as the board can draw it.
  return std::max(period_.seconds * watts_, std::min(window_joules_, period_.seconds * most_watts_));
}

std::optional<double> NvmlSensor::instant_watts() const {
  if (session_->api().field_values == nullptr) return std::nullopt;
  NvmlField field;
  field.id = nvml_power_instant;
  if (session_->api().field_values(handle_, 1, &field) != nvml_success || field.code != nvml_success) {
    return std::nullopt;
  }
  double milliwatts = 0;  // of a type that power never had: none
  if (field.type == nvml_type_unsigned) milliwatts = field.value.number;
  if (field.type == nvml_type_unsigned_long || field.type == nvml_type_unsigned_long_long) {
    milliwatts = static_cast<double>(field.value.large_number);
  }
  // No board draws nothing.
  return milliwatts > 0 ? std::optional(milliwatts * 1e-3) : std::nullopt;
}

void NvmlSensor::measure_power(std::int64_t now) {
  // Over fewer periods of the counter the quotient is mostly the luck of when it moved.
  const double shortest = std::max(0.01, 4 * period_.seconds);
  const double seconds = static_cast<double>(now - power_time_) * 1e-9;
  if (seconds >= shortest) {
    watts_ = static_cast<double>(millijoules_ - power_begin_) * 1e-3 / seconds;
    power_begin_ = millijoules_;
    power_time_ = now;
  }
  // What the board draws now may be more than the mean since the last reading: a bound takes the larger.
  window_joules_ = -1;
  if (const std::optional<double> watts = instant_watts()) {
    watts_ = std::max(watts_, *watts);
    return;
  }
  unsigned milliwatts = 0;
  if (session_->api().power_usage != nullptr && session_->api().power_usage(handle_, &milliwatts) == nvml_success) {
    window_joules_ = milliwatts * 1e-3 * power_window_seconds;
  }
}

}  // namespace blocktrain::trainer
