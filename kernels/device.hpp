#pragma once
/// What ops run on: a CPU whose memory is the host's, or a GPU with memory of its own. Everything that depends on which
/// of the two it is goes through here; callers write one sequence of calls for both.
///
/// Order. Ops, upload() and the downloads run one after the other, as if on one queue. copy_aside() runs on queues of
/// its own beside it; aside_after_ops() and ops_after_aside() say where one waits for the other. On a CPU everything
/// has been done when a call returns.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels {

/// What is known of a device, for plans, messages and the ledger.
struct DeviceFacts {
  std::string kind = "cpu";                      ///< "cpu" or "cuda"
  std::string name;                              ///< e.g. "NVIDIA H200"
  std::string uuid;                              ///< "GPU-..." as nvidia-smi and NVML write it; empty for a CPU
  int index = -1;                                ///< among the devices this process sees; -1 for a CPU
  std::size_t memory_bytes = 0, free_bytes = 0;  ///< of a GPU, when the device was made
};

/// A call without arguments, not owned: unlike std::function it allocates nothing. The callable outlives the call it
/// is given to.
class WorkRef {
 public:
  template <class F>
  WorkRef(F& work) : object_(&work), call_([](void* object) { (*static_cast<F*>(object))(); }) {}
  void operator()() const { call_(object_); }

 private:
  void* object_;
  void (*call_)(void*);
};

/// The queues beside the ops.
enum class Side : std::uint8_t {
  blocks,  ///< blocks on their way to the device and home
  input,   ///< the batch of the next step
};

/// A place among the ops, uploads and downloads that the host can wait for.
class Mark {
 public:
  virtual ~Mark() = default;
};

/// Remembers a sequence of ops between calls of Device::repeat.
class Recording {
 public:
  virtual ~Recording() = default;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceFacts& facts() const = 0;
  /// Bytes of a GPU that nobody uses now, of facts().memory_bytes; none for a CPU, or where the driver does not say.
  /// Any thread may ask, beside the one that asks for ops.
  virtual std::optional<std::size_t> free_bytes() const { return std::nullopt; }
  /// Compute in float32, or in what the device was made for.
  virtual Ops& ops() = 0;
  /// The CUDA stream that ops run on, for a transport between devices; null on a CPU.
  virtual void* stream() { return nullptr; }
  /// The host may read and write the device's tensors where they are.
  virtual bool shares_host_memory() const = 0;

  /// Zeroed memory of the device. Throws RunError when there is not enough.
  virtual Arena arena(std::string purpose, std::size_t bytes) = 0;
  /// Zeroed host memory that copies to and from the device are fast from (pinned).
  virtual Arena staging(std::string purpose, std::size_t bytes) = 0;

  /// Copies between the device and the host, in order with the ops. download() returns when `to` is there; by then
  /// everything uploaded before has been read.
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  virtual void download(void* to, const void* from, std::size_t bytes) = 0;

  /// A download to staging memory: `to` is there when a mark set behind it has been passed.
  virtual void download_later(void* to, const void* from, std::size_t bytes) = 0;
  virtual std::unique_ptr<Mark> mark() = 0;
  /// The mark is passed when what was asked for so far, but for copies aside, is done. It may be set again then.
  virtual void set(Mark& mark) = 0;
  /// Returns when the mark has been passed; one that was never set has.
  virtual void wait(Mark& mark) = 0;
  /// Whether it has been passed; does not wait.
  virtual bool passed(Mark& mark) = 0;

  /// A copy of staging memory to the device or back, beside the ops.
  virtual void copy_aside(Side side, void* to, const void* from, std::size_t bytes) = 0;
  /// Later copies of this side begin when the ops asked for so far are done.
  virtual void aside_after_ops(Side side) = 0;
  /// Later ops begin when the copies of this side asked for so far are done.
  virtual void ops_after_aside(Side side) = 0;
  /// Returns when the copies of this side are done.
  virtual void finish_aside(Side side) = 0;

  virtual std::unique_ptr<Recording> recording() = 0;
  /// Does `work`: ops with the same arguments every time, for one recording. A GPU calls it twice, the second time to
  /// capture it in a graph, and from then on launches the graph, so `work` must not depend on being called.
  virtual void repeat(Recording& recording, WorkRef work) = 0;
};

/// The host: ops on `threads` threads.
std::unique_ptr<Device> make_cpu_device(int threads);

/// CUDA device `index` of those this process sees, computing in float32 or bfloat16. With `deterministic`, gradients
/// have the same bits in every run. Without `graphs`, repeat() asks for the work anew each time, to measure what graphs
/// save. Throws InputError saying what is missing where there is no such device or this build has no CUDA.
std::unique_ptr<Device> make_cuda_device(int index, DType dtype, bool deterministic, bool graphs = true);
/// How many CUDA devices this process sees; 0 with the reason in `why` (may be null) when there is none.
int cuda_devices(std::string* why);
/// What the CUDA ops compute with, e.g. libraries and their versions; empty in a build without CUDA.
std::string cuda_facts();

}  // namespace blocktrain::kernels
