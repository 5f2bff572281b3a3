#pragma once
/// Energy of one GPU board from NVML's counter of its total energy: millijoules since the driver was loaded, of the
/// whole board, memory included, whoever uses it.
///
/// The board is found by its UUID. NVML's own order of the GPUs is not CUDA's, and CUDA_VISIBLE_DEVICES changes CUDA's.
/// A MIG instance has no counter of its own; the counter of its board would count its neighbours.
///
/// The counter moves at a period of some 10 to 100 ms, which is measured once, before the first reading. What a
/// reading may lack is that period times the power of the moment. Where NVML tells no power of the moment but a mean of
/// the last second, which in a rise is too small, it is what that second may have had: the mean times a second, or less
/// where the board could not draw that in a period.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "trainer/ledger/energy/gpu_boards.hpp"
#include "trainer/ledger/energy/nvml_session.hpp"
#include "trainer/ledger/energy/sensor.hpp"

namespace blocktrain::trainer {

class NvmlSensor final : public EnergySensor {
 public:
  /// Finds the board and watches its counter for at most longest_watch_ns. Never throws for what it finds: a board that
  /// is not there, or has no counter, becomes the reason of every reading.
  NvmlSensor(std::shared_ptr<const NvmlSession> session, const GpuInUse& gpu, const PollClock& clock = {});

  std::string name() const override { return "nvml"; }
  EnergySource source() const override { return EnergySource::gpu; }
  int device() const override { return gpu_.device; }
  const UpdatePeriod& update_period() const override { return period_; }
  /// Readings end, with the reason, when the counter cannot be read, was set back, or leapt further than the board can
  /// draw. A counter of 32 bits that wraps is carried on.
  EnergyReading read(std::int64_t now) override;

 private:
  void find_board(const PollClock& clock);
  int read_counter(std::uint64_t& millijoules) const;
  EnergyReading fail(std::string reason);
  void measure_power(std::int64_t now);
  /// Watts of this moment; none where the library or the board does not tell them.
  std::optional<double> instant_watts() const;
  /// Joules that a reading made now may lack; -1: not known.
  double lag_joules() const;

  std::shared_ptr<const NvmlSession> session_;
  GpuInUse gpu_;
  NvmlDevice handle_ = nullptr;
  UpdatePeriod period_;
  double most_watts_ = 0;   ///< no board draws more for a second
  std::uint64_t last_ = 0;  ///< the counter at the last reading
  std::int64_t last_time_ = 0;
  std::uint64_t millijoules_ = 0;  ///< since the first look at the counter
  double watts_ = -1;              ///< of the recent past; -1: not known
  double window_joules_ = -1;      ///< of the last second, where no power of the moment is told; -1: not needed
  std::uint64_t power_begin_ = 0;  ///< millijoules_ at power_time_, from which watts_ are measured next
  std::int64_t power_time_ = 0;
  std::string reason_;  ///< of the failure that ended the readings
};

}  // namespace blocktrain::trainer
