// The emulated GPU itself: every kind of fault it is there to find is planted once, in a child process.
#include "tests/emulated_gpu/emulated_gpu.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdio>
#include <functional>
#include <vector>

#include "kernels/cuda/launch.cuh"

using namespace blocktrain::kernels::cuda;

namespace {

/// The signal that `work` ends with in a process of its own; 0 where it ends well.
int signal_of(const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    for (const int s : {SIGSEGV, SIGABRT}) std::signal(s, SIG_DFL);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(1);
    work();
    _exit(0);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

struct Stream {
  Stream() { BLOCKTRAIN_CUDA(cudaStreamCreateWithFlags(&value, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(value); }
  cudaStream_t value = nullptr;
};

/// Numbers in memory of the GPU.
struct Numbers {
  explicit Numbers(std::size_t count) : size(count * sizeof(float)) {
    BLOCKTRAIN_CUDA(cudaMalloc(reinterpret_cast<void**>(&data), size));
  }
  ~Numbers() { cudaFree(data); }
  std::vector<float> read() const {
    std::vector<float> host(size / sizeof(float));
    BLOCKTRAIN_CUDA(cudaDeviceSynchronize());
    BLOCKTRAIN_CUDA(cudaMemcpy(host.data(), data, size, cudaMemcpyDeviceToHost));
    return host;
  }
  std::size_t size;
  float* data = nullptr;
};

/// Sums of blocks of threads_per_block numbers; with `barrier` false as a careless author would write it.
__global__ void block_sums(float* out, bool barrier) {
  __shared__ float scratch[threads_per_block];
  scratch[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  float sum = 0;
  for (int i = 0; i < threads_per_block; ++i) sum += scratch[(threadIdx.x + i) % threads_per_block];
  out[blockIdx.x * threads_per_block + threadIdx.x] = sum;
  if (barrier) __syncthreads();
  scratch[threadIdx.x] = 0;
}

__global__ void lane_sums(float* out, int from_lane) {
  if (static_cast<int>(threadIdx.x) % warp_size < from_lane) return;
  out[threadIdx.x] = warp_sum(static_cast<float>(threadIdx.x));
}

__global__ void write_at(float* out, std::int64_t place) { out[place] = 1; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_barrier_holds_and_a_missing_one_shows) {
  constexpr float sum = threads_per_block * (threads_per_block - 1) / 2;
  const Stream stream;
  const Numbers out(2 * threads_per_block);
  launch({stream.value, 2}, block_sums, out.data, true);
  std::int64_t wrong = 0;
  for (const float x : out.read()) wrong += x == sum ? 0 : 1;
  BOOST_TEST(wrong == 0);
  launch({stream.value, 2}, block_sums, out.data, false);
  for (const float x : out.read()) wrong += x == sum ? 0 : 1;
  BOOST_TEST(wrong > 0);
}

BOOST_AUTO_TEST_CASE(a_shuffle_needs_all_lanes) {
  const Stream stream;
  const Numbers out(threads_per_block);
  launch({stream.value, 1}, lane_sums, out.data, 0);
  const std::vector<float> sums = out.read();
  for (int i = 0; i < threads_per_block; ++i) {
    BOOST_TEST(sums[static_cast<std::size_t>(i)] == 32.0f * static_cast<float>(i / warp_size * warp_size) + 496.0f);
  }
  BOOST_TEST(signal_of([&] {
               launch({stream.value, 1}, lane_sums, out.data, 1);
               cudaDeviceSynchronize();
             }) == SIGABRT);
}

BOOST_AUTO_TEST_CASE(memory_has_ends) {
  const Stream stream;
  const Numbers out(64);  // a whole unit of its alignment
  const auto write = [&](std::int64_t place) {
    return signal_of([&, place] {
      launch({stream.value, 1, 1}, write_at, out.data, place);
      cudaDeviceSynchronize();
    });
  };
  BOOST_TEST(write(0) == 0);
  BOOST_TEST(write(63) == 0);
  BOOST_TEST(write(64) == SIGSEGV);
  BOOST_TEST(write(-4096 / 4) == SIGSEGV);
}

BOOST_AUTO_TEST_CASE(the_host_cannot_reach_device_memory) {
  const Numbers out(8);
  BOOST_TEST(signal_of([&] { out.data[0] = 1; }) == SIGSEGV);
  float one = 1;
  BOOST_TEST((cudaMemcpy(out.data, &one, 4, cudaMemcpyHostToDevice) == cudaSuccess));
  // More than there is.
  std::vector<float> many(4096);
  BOOST_TEST((cudaMemcpy(out.data, many.data(), 4096, cudaMemcpyHostToDevice) == cudaErrorInvalidValue));
  BOOST_TEST((cudaGetLastError() == cudaErrorInvalidValue));
}

BOOST_AUTO_TEST_CASE(copies_from_pinned_memory_happen_late) {
  const Stream stream;
  const Numbers there(1);
  float* pinned = nullptr;
  BLOCKTRAIN_CUDA(cudaMallocHost(reinterpret_cast<void**>(&pinned), 4));
  *pinned = 1;
  BLOCKTRAIN_CUDA(cudaMemcpyAsync(there.data, pinned, 4, cudaMemcpyHostToDevice, stream.value));
  *pinned = 2;  // too early
  BOOST_TEST(there.read()[0] == 2);
  float pageable = 3;
  BLOCKTRAIN_CUDA(cudaMemcpyAsync(there.data, &pageable, 4, cudaMemcpyHostToDevice, stream.value));
  pageable = 4;
  BOOST_TEST(there.read()[0] == 3);
  BLOCKTRAIN_CUDA(cudaFreeHost(pinned));
}

BOOST_AUTO_TEST_CASE(streams_wait_for_events_alone) {
  const Stream first, second;
  const Numbers a(1), b(1);
  cudaEvent_t event = nullptr;
  BLOCKTRAIN_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const auto copied = [&](bool wait) {
    BLOCKTRAIN_CUDA(cudaMemset(a.data, 0, 4));
    BLOCKTRAIN_CUDA(cudaDeviceSynchronize());
    launch({first.value, 1, 1}, write_at, a.data, 0);
    BLOCKTRAIN_CUDA(cudaEventRecord(event, first.value));
    if (wait) BLOCKTRAIN_CUDA(cudaStreamWaitEvent(second.value, event, 0));
    BLOCKTRAIN_CUDA(cudaMemcpyAsync(b.data, a.data, 4, cudaMemcpyDeviceToDevice, second.value));
    BLOCKTRAIN_CUDA(cudaStreamSynchronize(second.value));
    return b.read()[0];
  };
  BOOST_TEST(copied(true) == 1);
  BOOST_TEST(copied(false) == 0);
  BLOCKTRAIN_CUDA(cudaEventDestroy(event));
}

BOOST_AUTO_TEST_CASE(a_graph_does_what_was_captured) {
  const Stream stream;
  const Numbers out(2);
  BLOCKTRAIN_CUDA(cudaMemset(out.data, 0, 8));
  BLOCKTRAIN_CUDA(cudaStreamBeginCapture(stream.value, cudaStreamCaptureModeThreadLocal));
  launch({stream.value, 1, 1}, write_at, out.data, 1);
  void* memory = nullptr;
  BOOST_TEST((cudaMalloc(&memory, 4) == cudaErrorStreamCaptureUnsupported));
  BOOST_TEST((cudaStreamSynchronize(stream.value) == cudaErrorStreamCaptureUnsupported));
  cudaGetLastError();
  cudaGraph_t graph = nullptr;
  BLOCKTRAIN_CUDA(cudaStreamEndCapture(stream.value, &graph));
  BOOST_TEST(out.read()[1] == 0);
  cudaGraphExec_t executable = nullptr;
  BLOCKTRAIN_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  BLOCKTRAIN_CUDA(cudaGraphDestroy(graph));
  BLOCKTRAIN_CUDA(cudaGraphLaunch(executable, stream.value));
  BOOST_TEST(out.read()[1] == 1);
  BLOCKTRAIN_CUDA(cudaGraphExecDestroy(executable));
}

BOOST_AUTO_TEST_CASE(a_launch_beyond_the_limits_is_refused) {
  const Stream stream;
  BOOST_CHECK_THROW(launch({stream.value, 1, 2048}, write_at, static_cast<float*>(nullptr), 0),
                    blocktrain::LibraryError);
  BOOST_CHECK_THROW(launch({stream.value, dim3(1, 65536)}, write_at, static_cast<float*>(nullptr), 0),
                    blocktrain::LibraryError);
}

BOOST_AUTO_TEST_CASE(memory_runs_out) {
  void* memory = nullptr;
  BOOST_TEST((cudaMalloc(&memory, emulated_gpu::settings().memory_bytes + 1) == cudaErrorMemoryAllocation));
  BOOST_TEST((cudaGetLastError() == cudaErrorMemoryAllocation));
}
