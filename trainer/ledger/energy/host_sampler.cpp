#include "trainer/ledger/energy/host_sampler.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"

namespace blocktrain::trainer {

EnergyCollector::EnergyCollector(std::vector<std::unique_ptr<EnergySensor>> sensors, int host, EnergyListener listener)
    : host_(host), listener_(std::move(listener)) {
  for (auto& sensor : sensors) meters_.push_back({std::move(sensor)});
}

void EnergyCollector::announce(const Meter& meter, bool available, const std::string& reason) {
  SourceStatus status{host_, meter.sensor->device(), meter.sensor->source(), available, meter.sensor->name(), reason};
  if (available) {
    status.update_seconds = meter.sensor->update_period().seconds;
    status.update_reason = meter.sensor->update_period().reason;
  }
  listener_.status(status);
}

void EnergyCollector::begin(std::int64_t now) {
  for (Meter& meter : meters_) {
    const EnergyReading reading = meter.sensor->read(now);
    meter.alive = reading.joules.has_value();
    meter.reported = meter.read = reading.joules.value_or(0);
    meter.reported_lag = meter.read_lag = reading.lag_joules;
    meter.reported_time = meter.read_time = now;
    announce(meter, meter.alive, reading.reason);
  }
}

void EnergyCollector::report(Meter& meter) {
  if (meter.read_time == meter.reported_time) return;
  EnergyRecord record;
  record.host = host_;
  record.device = meter.sensor->device();
  record.source = meter.sensor->source();
  record.joules = meter.read - meter.reported;
  record.begin = meter.reported_time;
  record.end = meter.read_time;
  record.update_seconds = meter.sensor->update_period().seconds;
  if (meter.reported_lag >= 0 && meter.read_lag >= 0) record.error_joules = meter.reported_lag + meter.read_lag;
  meter.reported = meter.read;
  meter.reported_lag = meter.read_lag;
  meter.reported_time = meter.read_time;
  listener_.energy(record);
}

void EnergyCollector::sample(std::int64_t now, bool want_report) {
  for (Meter& meter : meters_) {
    if (!meter.alive) continue;
    const EnergyReading reading = meter.sensor->read(now);
    if (reading.joules) {
      meter.read = *reading.joules;
      meter.read_lag = reading.lag_joules;
      meter.read_time = now;
      if (want_report) report(meter);
    } else {
      meter.alive = false;
      report(meter);
      announce(meter, false, reading.reason);
    }
  }
}

HostEnergySampler::HostEnergySampler(std::vector<std::unique_ptr<EnergySensor>> sensors, int host,
                                     double sample_seconds, EnergyListener listener)
    : collector_(std::move(sensors), host, std::move(listener)) {
  if (!(sample_seconds >= 0.01 && sample_seconds <= 3600)) {
    throw InputError("energy.sample_seconds is " + std::to_string(sample_seconds) +
                     "; accepted are 0.01 to 3600 seconds");
  }
  polls_per_report_ = static_cast<int>(std::ceil(sample_seconds / EnergyCollector::longest_poll_seconds));
  poll_seconds_ = sample_seconds / polls_per_report_;
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  if (wake_ < 0) throw RunError(std::string("the energy sampler got no eventfd: ") + std::strerror(errno));
  try {
    collector_.begin(monotonic_ns());
    thread_ = start_thread("the energy sensors", [this] { run(); });
  } catch (...) {
    ::close(wake_);
    throw;
  }
}

HostEnergySampler::~HostEnergySampler() {
  stop();
  ::close(wake_);
}

void HostEnergySampler::stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  // An eventfd of a fresh counter takes a 1 at once; only an interruption can come between.
  while (::write(wake_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
  collector_.sample(monotonic_ns(), true);
}

void HostEnergySampler::run() {
  const auto period = static_cast<std::int64_t>(poll_seconds_ * 1e9);
  std::int64_t next = monotonic_ns() + period;
  for (int polls = 1;; ++polls) {
    do {
      const std::int64_t left = std::max<std::int64_t>(next - monotonic_ns(), 0);
      pollfd wake{wake_, POLLIN, 0};
      if (::poll(&wake, 1, static_cast<int>((left + 999'999) / 1'000'000)) > 0) return;
    } while (next > monotonic_ns());
    const std::int64_t now = monotonic_ns();
    collector_.sample(now, polls % polls_per_report_ == 0);
    next = std::max(next + period, now);  // after a suspended process: no burst of samples to catch up
  }
}

}  // namespace blocktrain::trainer
