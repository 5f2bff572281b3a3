#pragma once
/// What ops run on: a CPU whose memory is the host's, or a GPU with memory of its own. Everything that depends on which
/// of the two it is goes through here; callers write one sequence of calls for both.
///
/// Order. Ops, upload() and the downloads run one after the other, on the ops' stream. copy_async() runs on streams of
/// its own beside that one; copies_wait_for_ops() and ops_wait_for_copies() say where one waits for the other. On a CPU
/// everything has been done when a call returns.

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

/// The streams of copies beside the ops' stream.
enum class CopyStream : std::uint8_t {
  blocks,  ///< blocks on their way to the device and home
  input,   ///< the batch of the next step
};

/// A point in the ops' stream that the host can wait for.
class Event {
 public:
  virtual ~Event() = default;
};

/// A sequence of ops that is captured once and launched as a whole from then on (Device::launch).
class Graph {
 public:
  virtual ~Graph() = default;
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

  /// A download to staging memory: `to` is there when an event recorded behind it has occurred.
  virtual void download_async(void* to, const void* from, std::size_t bytes) = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  /// Records the event in the ops' stream: it occurs when the ops, uploads and downloads asked for so far are done. It
  /// may be recorded again then.
  virtual void record(Event& event) = 0;
  /// Returns when the event has occurred; one that was never recorded has.
  virtual void synchronize(Event& event) = 0;
  /// Whether it has occurred; does not wait.
  virtual bool query(Event& event) = 0;

  /// A copy of staging memory to the device or back, on a stream of its own.
  virtual void copy_async(CopyStream stream, void* to, const void* from, std::size_t bytes) = 0;
  /// Later copies on this stream begin when the ops asked for so far are done.
  virtual void copies_wait_for_ops(CopyStream stream) = 0;
  /// Later ops begin when the copies on this stream asked for so far are done.
  virtual void ops_wait_for_copies(CopyStream stream) = 0;
  /// Returns when the copies on this stream are done.
  virtual void synchronize(CopyStream stream) = 0;

  virtual std::unique_ptr<Graph> make_graph() = 0;
  /// Does `work`: ops with the same arguments every time, for one graph. A GPU calls it twice, the second time to
  /// capture it, and from then on launches what it captured, so `work` must not depend on being called.
  virtual void launch(Graph& graph, WorkRef work) = 0;
};

/// The host: ops on `threads` threads.
std::unique_ptr<Device> make_cpu_device(int threads);

/// CUDA device `index` of those this process sees, computing in float32 or bfloat16. With `deterministic`, gradients
/// have the same bits in every run. Without `graphs`, launch() asks for the work anew each time, to measure what graphs
/// save. Throws InputError saying what is missing where there is no such device or this build has no CUDA.
std::unique_ptr<Device> make_cuda_device(int index, DType dtype, bool deterministic, bool graphs = true);
/// How many CUDA devices this process sees; 0 with the reason in `why` (may be null) when there is none.
int cuda_devices(std::string* why);
/// What the CUDA ops compute with, e.g. libraries and their versions; empty in a build without CUDA.
std::string cuda_facts();

}  // namespace blocktrain::kernels
