#pragma once
/// What CUDA, its libraries and graphs take of a GPU is loaded when it is first used, so it can be measured only after
/// steps have run. The probe runs two, of a block as small as can be.

#include <optional>
#include <string>
#include <vector>

#include "kernels/device.hpp"
#include "trainer/config/config.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/worker/block_slots.hpp"
#include "trainer/worker/block_step.hpp"
#include "trainer/worker/device_runtime.hpp"

namespace blocktrain::trainer {

/// What a StepProbe trains for a run of `config`: the same network but for its depth and width, on one sample. A head
/// keeps its size, which chooses the kernels of attention; of heads there are as few as make a width that libraries
/// like.
Config probe_config(Config config);

/// Two training steps of one block of one layer on one sample of the run's shape, in its precision and with its size of
/// an attention head; the second is launched as a graph. What they loaded is there while this lives, and kernels and
/// libraries after.
///
/// It leaves out what a larger step loads besides: kernels that cuBLASLt and cuDNN choose for larger shapes alone,
/// larger graphs (some kilobytes per op), and NCCL's buffers.
class StepProbe {
 public:
  /// `device` outlives this, and computes as `config` asks (parallel.device is cuda). Throws RunError where the GPU has
  /// too little memory, and whatever the ops throw.
  StepProbe(kernels::Device& device, const Config& config, const blocks::SampleLayout& data);

  /// Bytes that the probe itself has in arenas on the device, to be taken off what is measured.
  std::size_t device_bytes() const { return plan_.ranks.front().bytes.on_device(true); }

 private:
  void step();

  Config config_;
  Plan plan_;
  RankArenas arenas_;
  std::vector<OwnedBlock> owned_;
  blocks::Batch batch_;
  std::optional<BlockSlots> slots_;
  std::optional<BlockStepper> stepper_;
};

/// What CUDA, its libraries and graphs take of a GPU in each process, besides arenas and the ops' scratch. What cuDNN's
/// attention took for the probe's one sample counts in it.
struct CudaRuntime {
  DeviceRuntime memory;
  std::string device;  ///< the GPU it was measured on; empty: on none
  std::string reason;  ///< why it is not known, or not of the process alone; else empty
};

/// Measures it on the first GPU that this process sees, by a StepProbe; a second or so. Throws nothing for what it
/// finds: without a GPU, and where the probe fails, it is not known, for that reason.
CudaRuntime measure_cuda_runtime(const Config& config, const blocks::SampleLayout& data);

}  // namespace blocktrain::trainer
