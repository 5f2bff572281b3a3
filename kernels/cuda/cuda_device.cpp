// A GPU as a device: memory taken once, a stream for ops and two for copies, and a training step as a graph.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/device.hpp"
#include "kernels/gpu_uuid.hpp"

namespace blocktrain::kernels {
namespace {

/// Returns when what was asked of the default stream is done: neither the ops' stream nor the copies' waits for it, and
/// a memset, and the end of a copy from pageable memory, may still be under way when their calls return.
void finish_default_stream() { BLOCKTRAIN_CUDA(cudaStreamSynchronize(nullptr)); }

const MemoryKind device_memory{
    [](std::byte* memory, std::size_t) noexcept { cudaFree(memory); },
    [](void* to, const void* from, std::size_t bytes) {
      BLOCKTRAIN_CUDA(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
      finish_default_stream();
    },
    false,
};
const MemoryKind pinned_memory{
    [](std::byte* memory, std::size_t) noexcept { cudaFreeHost(memory); },
    [](void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); },
    true,
};

std::string text_of(const cudaUUID_t& uuid) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), uuid.bytes, bytes.size());
  return gpu_uuid_text(bytes);
}

class EventHandle {
 public:
  explicit EventHandle(unsigned flags = cudaEventDisableTiming) {
    BLOCKTRAIN_CUDA(cudaEventCreateWithFlags(&value, flags));
  }
  ~EventHandle() { cudaEventDestroy(value); }
  EventHandle(const EventHandle&) = delete;
  EventHandle& operator=(const EventHandle&) = delete;
  cudaEvent_t value = nullptr;
};

/// The host sleeps until such an event has occurred: a step is longer than it takes to wake up, and a spinning core
/// costs joules.
constexpr unsigned sleeping = cudaEventDisableTiming | cudaEventBlockingSync;

class CudaEvent final : public Event {
 public:
  EventHandle handle{sleeping};
};

/// A stream of copies beside the ops' stream, and the events by which the two wait for each other.
class CopyStreamHandle {
 public:
  CopyStreamHandle() { BLOCKTRAIN_CUDA(cudaStreamCreateWithFlags(&value, cudaStreamNonBlocking)); }
  ~CopyStreamHandle() { cudaStreamDestroy(value); }
  CopyStreamHandle(const CopyStreamHandle&) = delete;
  CopyStreamHandle& operator=(const CopyStreamHandle&) = delete;

  void wait_for(cudaStream_t ops) {
    BLOCKTRAIN_CUDA(cudaEventRecord(ops_done_.value, ops));
    BLOCKTRAIN_CUDA(cudaStreamWaitEvent(value, ops_done_.value, 0));
  }
  /// In pieces: one engine does all copies of a direction in turn, and a batch is not to wait for a whole block.
  void copy(void* to, const void* from, std::size_t bytes) {
    constexpr std::size_t most = std::size_t{16} << 20;
    for (std::size_t at = 0; at < bytes; at += most) {
      BLOCKTRAIN_CUDA(cudaMemcpyAsync(static_cast<std::byte*>(to) + at, static_cast<const std::byte*>(from) + at,
                                      std::min(most, bytes - at), cudaMemcpyDefault, value));
    }
    recorded_ = false;
  }
  void let_wait(cudaStream_t ops) {
    record();
    BLOCKTRAIN_CUDA(cudaStreamWaitEvent(ops, done_.value, 0));
  }
  /// Waits for the copies, and not for the ops that later ones are to wait for.
  void synchronize() {
    record();
    BLOCKTRAIN_CUDA(cudaEventSynchronize(done_.value));
  }

 private:
  void record() {
    if (!recorded_) BLOCKTRAIN_CUDA(cudaEventRecord(done_.value, value));
    recorded_ = true;
  }

  cudaStream_t value = nullptr;
  EventHandle ops_done_, done_{sleeping};
  bool recorded_ = false;  ///< done_ stands behind the last copy
};

/// The first call runs the work as it is: libraries choose their algorithms and take their memory then, which a capture
/// does not allow. The second captures it.
class CudaGraph final : public Graph {
 public:
  CudaGraph() = default;
  ~CudaGraph() override {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  bool warm = false;
  cudaGraphExec_t executable = nullptr;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, DType dtype, bool deterministic, bool graphs) : graphs_(graphs) {
    BLOCKTRAIN_CUDA(cudaSetDevice(index));
    cudaDeviceProp properties{};
    BLOCKTRAIN_CUDA(cudaGetDeviceProperties(&properties, index));
    facts_.kind = "cuda";
    facts_.name = properties.name;
    facts_.uuid = text_of(properties.uuid);
    facts_.index = index;
    auto backend = std::make_unique<CudaBackend>(dtype, deterministic);
    backend_ = backend.get();
    ops_.emplace(std::move(backend));
    for (std::optional<CopyStreamHandle>& s : copy_streams_) s.emplace();
    // Behind what CUDA and the ops themselves have taken.
    BLOCKTRAIN_CUDA(cudaMemGetInfo(&facts_.free_bytes, &facts_.memory_bytes));
  }

  const DeviceFacts& facts() const override { return facts_; }
  std::optional<std::size_t> free_bytes() const override {
    std::size_t free = 0, all = 0;
    // A thread that has not made the device works on CUDA's first one until it says otherwise.
    if (cudaSetDevice(facts_.index) == cudaSuccess && cudaMemGetInfo(&free, &all) == cudaSuccess) return free;
    cudaGetLastError();  // the answer is that it is not known
    return std::nullopt;
  }
  Ops& ops() override { return *ops_; }
  void* stream() override { return backend_->stream(); }
  bool shares_host_memory() const override { return false; }

  Arena arena(std::string purpose, std::size_t bytes) override {
    // Never nothing, so that the arena does not look like a measuring one.
    void* memory = nullptr;
    const std::size_t taken = std::max(bytes, Arena::alignment);
    if (const cudaError_t status = cudaMalloc(&memory, taken); status != cudaSuccess) {
      throw RunError(refusal("of memory of " + facts_.name, purpose, bytes, status));
    }
    Arena a = Arena::over(std::move(purpose), static_cast<std::byte*>(memory), bytes, device_memory);
    BLOCKTRAIN_CUDA(cudaMemset(memory, 0, taken));
    finish_default_stream();
    return a;
  }
  Arena staging(std::string purpose, std::size_t bytes) override {
    void* memory = nullptr;
    const std::size_t taken = std::max(bytes, Arena::alignment);
    if (const cudaError_t status = cudaMallocHost(&memory, taken); status != cudaSuccess) {
      throw RunError(refusal("of pinned host memory", purpose, bytes, status));
    }
    std::memset(memory, 0, taken);
    return Arena::over(std::move(purpose), static_cast<std::byte*>(memory), bytes, pinned_memory);
  }

  void upload(void* to, const void* from, std::size_t bytes) override {
    BLOCKTRAIN_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, backend_->stream()));
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    BLOCKTRAIN_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, backend_->stream()));
    ops_->synchronize();
  }

  void download_async(void* to, const void* from, std::size_t bytes) override {
    BLOCKTRAIN_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, backend_->stream()));
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CudaEvent>(); }
  void record(Event& event) override {
    BLOCKTRAIN_CUDA(cudaEventRecord(static_cast<CudaEvent&>(event).handle.value, backend_->stream()));
  }
  void synchronize(Event& event) override {
    BLOCKTRAIN_CUDA(cudaEventSynchronize(static_cast<CudaEvent&>(event).handle.value));
  }
  bool query(Event& event) override {
    const cudaError_t state = cudaEventQuery(static_cast<CudaEvent&>(event).handle.value);
    if (state != cudaErrorNotReady) {
      BLOCKTRAIN_CUDA(state);
      return true;
    }
    cudaGetLastError();  // an answer, not an error of what comes next
    return false;
  }

  void copy_async(CopyStream stream, void* to, const void* from, std::size_t bytes) override {
    at(stream).copy(to, from, bytes);
  }
  void copies_wait_for_ops(CopyStream stream) override { at(stream).wait_for(backend_->stream()); }
  void ops_wait_for_copies(CopyStream stream) override { at(stream).let_wait(backend_->stream()); }
  void synchronize(CopyStream stream) override { at(stream).synchronize(); }

  std::unique_ptr<Graph> make_graph() override { return std::make_unique<CudaGraph>(); }
  void launch(Graph& graph, WorkRef work) override {
    auto& g = static_cast<CudaGraph&>(graph);
    if (!graphs_) return work();
    if (g.executable == nullptr) {
      // Ranks that share a GPU as threads take turns here: what libraries do at a first call, such as waiting for the
      // whole device, may be forbidden while another thread captures.
      static std::mutex first_calls;
      const std::scoped_lock lock(first_calls);
      if (!g.warm) {
        work();
        g.warm = true;
        return;
      }
      g.executable = capture(work);
    }
    BLOCKTRAIN_CUDA(cudaGraphLaunch(g.executable, backend_->stream()));
  }

 private:
  static std::string refusal(const std::string& where, const std::string& purpose, std::size_t bytes,
                             cudaError_t status) {
    cudaGetLastError();  // it is reported here
    return "cannot take " + std::to_string(bytes) + " bytes " + where + " for " + purpose + ": " +
           cudaGetErrorString(status);
  }

  cudaGraphExec_t capture(WorkRef work) {
    BLOCKTRAIN_CUDA(cudaStreamBeginCapture(backend_->stream(), cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(backend_->stream(), &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();  // that the capture ended badly is no news
      throw;
    }
    BLOCKTRAIN_CUDA(cudaStreamEndCapture(backend_->stream(), &graph));
    cudaGraphExec_t executable = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    BLOCKTRAIN_CUDA(status);
    return executable;
  }

  CopyStreamHandle& at(CopyStream stream) { return *copy_streams_[static_cast<std::size_t>(stream)]; }

  bool graphs_;
  DeviceFacts facts_;
  std::optional<Ops> ops_;
  CudaBackend* backend_ = nullptr;                               ///< of ops_
  std::array<std::optional<CopyStreamHandle>, 2> copy_streams_;  ///< made when the device has been chosen
};

}  // namespace

std::unique_ptr<Device> make_cuda_device(int index, DType dtype, bool deterministic, bool graphs) {
  std::string why;
  const int count = cuda_devices(&why);
  if (count == 0) throw InputError(why);
  if (index < 0 || index >= count) {
    throw InputError("CUDA device " + std::to_string(index) + " is not there: this process sees " +
                     std::to_string(count) + ", counted from 0");
  }
  return std::make_unique<CudaDevice>(index, dtype, deterministic, graphs);
}

int cuda_devices(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();  // it is an answer, not an error of what comes next
    count = 0;
  }
  if (count == 0 && why != nullptr && status == cudaErrorInsufficientDriver) {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    *why = "no CUDA device is usable here: there is no NVIDIA driver, or one too old for CUDA " +
           std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) + " (see nvidia-smi)";
    return 0;
  }
  if (count == 0 && why != nullptr) {
    *why = std::string("no CUDA device is usable here: ") + (status == cudaSuccess ? "none is visible (see "
                                                                                     "CUDA_VISIBLE_DEVICES)"
                                                                                   : cudaGetErrorString(status));
  }
  return count;
}

std::string cuda_facts() {
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  const std::size_t lt = cublasLtGetVersion();
  return "CUDA " + std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) + ", cuBLASLt " +
         std::to_string(lt / 10000) + "." + std::to_string(lt / 100 % 100) +
         "; attention: " + cuda::fused_attention_facts();
}

}  // namespace blocktrain::kernels
