// The part of the CUDA runtime that blocktrain calls, on the emulated GPU. Where CUDA leaves open when something
// happens, it happens as late as it may.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/emulated_gpu/emulated_gpu.hpp"
#include "tests/emulated_gpu/memory.hpp"
#include "tests/emulated_gpu/runtime_error.hpp"
#include "tests/emulated_gpu/stream.hpp"

using namespace emulated_gpu;

namespace emulated_gpu {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;

/// An event: where it was recorded last.
struct Event {
  std::shared_ptr<Marker> marker;
};
Event& event_of(cudaEvent_t handle) { return *reinterpret_cast<Event*>(handle); }

/// Rows of `width` bytes, `to_pitch` and `from_pitch` apart.
struct Copy {
  std::byte* to;
  std::size_t to_pitch;
  const std::byte* from;
  std::size_t from_pitch, width, rows;

  void operator()() const {
    for (std::size_t r = 0; r < rows; ++r) std::memmove(to + r * to_pitch, from + r * from_pitch, width);
  }
  std::size_t from_bytes() const { return rows == 0 ? 0 : (rows - 1) * from_pitch + width; }
  std::size_t to_bytes() const { return rows == 0 ? 0 : (rows - 1) * to_pitch + width; }
};

bool is_valid(cudaMemcpyKind kind, Kind to, Kind from) {
  if (kind == cudaMemcpyHostToDevice) return to == Kind::device;
  if (kind == cudaMemcpyDeviceToHost) return from == Kind::device && to != Kind::device;
  if (kind == cudaMemcpyDeviceToDevice) return to == Kind::device && from == Kind::device;
  return kind == cudaMemcpyDefault;
}

cudaError_t copy_async(const Copy& copy, cudaMemcpyKind kind, cudaStream_t handle) {
  const Turn turn;
  if (copy.width == 0 || copy.rows == 0) return cudaSuccess;
  Stream& stream = stream_of(handle);
  const Kind to = kind_of(copy.to, copy.to_bytes()), from = kind_of(copy.from, copy.from_bytes());
  if (!is_valid(kind, to, from)) return set_error(cudaErrorInvalidValue);
  const bool pageable = to == Kind::none || from == Kind::none;
  if (pageable && stream.captured != nullptr) return set_error(cudaErrorStreamCaptureUnsupported);
  if (from == Kind::none) {
    // From pageable memory: it is read before the call returns.
    auto bytes = std::make_shared<std::vector<std::byte>>(copy.from, copy.from + copy.from_bytes());
    stream.add({[copy, bytes] {
                  Copy late = copy;
                  late.from = bytes->data();
                  late();
                },
                nullptr, nullptr});
  } else {
    stream.add({copy, nullptr, nullptr});
  }
  // To pageable memory: it is there when the call returns.
  if (to == Kind::none) stream.drain();
  return cudaSuccess;
}

}  // namespace

cudaError_t set_error(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace emulated_gpu

// ---- devices and errors ------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = settings().devices;
  return *count > 0 ? cudaSuccess : set_error(cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= settings().devices) return set_error(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= settings().devices) return set_error(cudaErrorInvalidDevice);
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "emulated GPU");
  for (int i = 0; i < 16; ++i) properties->uuid.bytes[i] = static_cast<char>(16 * device + i);
  properties->totalGlobalMem = settings().memory_bytes;
  properties->major = 9;
  properties->multiProcessorCount = 1;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "an error of the emulated GPU";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

// ---- memory --------------------------------------------------------------------------------------------------------

namespace {

cudaError_t take(Kind kind, void** memory, std::size_t bytes) {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  *memory = take_memory(kind, bytes);
  return *memory == nullptr ? set_error(cudaErrorMemoryAllocation) : cudaSuccess;
}

/// Waits for all work, as cudaFree does.
cudaError_t give(Kind kind, void* memory) {
  const Turn turn;
  if (memory == nullptr) return cudaSuccess;
  drain_all();
  return give_memory(kind, memory) ? cudaSuccess : set_error(cudaErrorInvalidValue);
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return take(Kind::device, memory, bytes); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return take(Kind::pinned, memory, bytes); }
cudaError_t cudaFree(void* memory) { return give(Kind::device, memory); }
cudaError_t cudaFreeHost(void* memory) { return give(Kind::pinned, memory); }
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = settings().memory_bytes;
  *free = *total - std::min(*total, memory_taken() + memory_of_runtime());
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_async({static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(from), bytes, bytes, 1}, kind,
                    stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return set_error(cudaErrorInvalidPitchValue);
  return copy_async(
      {static_cast<std::byte*>(to), to_pitch, static_cast<const std::byte*>(from), from_pitch, width, rows}, kind,
      stream);
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  // Other streams, which do not wait for the legacy one, are left where they are.
  const Turn turn;
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  if (error == cudaSuccess) stream_of(nullptr).drain();
  return error;
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  const Turn turn;
  if (bytes == 0) return cudaSuccess;
  if (kind_of(memory, bytes) == Kind::none) return set_error(cudaErrorInvalidValue);
  stream_of(stream).add({[=] { std::memset(memory, value, bytes); }, nullptr, nullptr});
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int value, std::size_t bytes) {
  return capturing_here() ? set_error(cudaErrorStreamCaptureUnsupported)
                          : cudaMemsetAsync(memory, value, bytes, nullptr);
}

// ---- streams and events --------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return set_error(cudaErrorInvalidValue);  // others are not emulated
  *stream = reinterpret_cast<cudaStream_t>(make_stream());
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  end_stream(&stream_of(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  const Turn turn;
  stream_of(stream).drain();
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  const Turn turn;
  drain_all();
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  const Turn turn;
  return stream_of(stream).advance() ? set_error(cudaErrorNotReady) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &event_of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Turn turn;
  Stream& stream = stream_of(handle);
  if (stream.captured != nullptr) return set_error(cudaErrorStreamCaptureUnsupported);  // not emulated
  event_of(event).marker = std::make_shared<Marker>(Marker{false, &stream});
  stream.add({nullptr, event_of(event).marker, nullptr});
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Turn turn;
  const auto& marker = event_of(event).marker;
  if (marker == nullptr || marker->passed) return cudaSuccess;
  marker->stream->advance();
  return set_error(cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (capturing_here()) return set_error(cudaErrorStreamCaptureUnsupported);
  const Turn turn;
  const auto& marker = event_of(event).marker;
  while (marker != nullptr && !marker->passed && marker->stream->advance()) {
  }
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  const Turn turn;
  const auto &from = event_of(begin).marker, &to = event_of(end).marker;
  if (from == nullptr || to == nullptr) return set_error(cudaErrorInvalidResourceHandle);
  if (!from->passed || !to->passed) return set_error(cudaErrorNotReady);
  *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Turn turn;
  Stream& stream = stream_of(handle);
  if (stream.captured != nullptr) return set_error(cudaErrorStreamCaptureUnsupported);  // not emulated
  if (event_of(event).marker != nullptr) stream.add({nullptr, nullptr, event_of(event).marker});
  return cudaSuccess;
}

// ---- graphs --------------------------------------------------------------------------------------------------------

namespace {
Graph& graph_of(void* handle) { return *static_cast<Graph*>(handle); }
}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const Turn turn;
  if (handle == nullptr || mode != cudaStreamCaptureModeThreadLocal || capturing_here()) {
    return set_error(cudaErrorStreamCaptureUnsupported);
  }
  stream_of(handle).captured = std::make_shared<Graph>();
  set_capturing_here(true);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const Turn turn;
  const auto captured = std::exchange(stream_of(handle).captured, nullptr);
  if (captured == nullptr) return set_error(cudaErrorIllegalState);
  set_capturing_here(false);
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(*captured));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new Graph(graph_of(graph)));
  note_graphs(1);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete &graph_of(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const Turn turn;
  drain_all();
  delete &graph_of(executable);
  note_graphs(-1);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const Turn turn;
  stream_of(stream).add({[&graph = graph_of(executable)] {
                           count_graph_launch();
                           for (const Work& work : graph.work) work.run();
                         },
                         nullptr, nullptr});
  return cudaSuccess;
}
