// The real NCCL and CUDA, one rank: where a GPU is, else skipped.

#include <cuda_runtime_api.h>

#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "comm/local/local_world.hpp"
#include "comm/nccl/cuda_device_api.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "tests/comm/watchdog.hpp"

namespace blocktrain::comm {
namespace {

void check(cudaError_t error) { BOOST_TEST_REQUIRE(error == cudaSuccess, cudaGetErrorString(error)); }

/// 1000 floats on the GPU, 0 to 999, and a stream.
struct Gpu {
  Gpu() {
    std::iota(values.begin(), values.end(), 0.0f);
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    check(cudaMalloc(reinterpret_cast<void**>(&data), bytes));
    check(cudaMalloc(reinterpret_cast<void**>(&copy), bytes));
    check(cudaMemcpy(data, values.data(), bytes, cudaMemcpyHostToDevice));
    check(cudaMemset(copy, 0, bytes));
    check(cudaDeviceSynchronize());  // the stream does not wait for these
  }
  ~Gpu() {
    (void)cudaFree(data);
    (void)cudaFree(copy);
    (void)cudaStreamDestroy(stream);
  }
  void expect_values(const float* device) {
    std::vector<float> back(values.size());
    check(cudaMemcpy(back.data(), device, bytes, cudaMemcpyDeviceToHost));
    BOOST_TEST((back == values));
  }

  std::vector<float> values = std::vector<float>(1000);
  std::size_t bytes = values.size() * sizeof(float);
  float* data = nullptr;
  float* copy = nullptr;
  cudaStream_t stream = nullptr;
};

void one_rank_is_the_identity(DeviceCommunicator& communicator, Gpu& gpu) {
  communicator.all_reduce_sum({gpu.data, gpu.values.size()}, TrafficPurpose::replica, gpu.stream);
  communicator.wait(gpu.stream);
  gpu.expect_values(gpu.data);
  communicator.broadcast(gpu.data, gpu.bytes, 0, TrafficPurpose::control, gpu.stream);
  const std::vector<Transfer> own{send_to(0, gpu.data, gpu.bytes), receive_from(0, gpu.copy, gpu.bytes)};
  communicator.exchange(own, TrafficPurpose::control, gpu.stream);
  communicator.wait(gpu.stream);
  gpu.expect_values(gpu.data);
  gpu.expect_values(gpu.copy);
}

BOOST_AUTO_TEST_CASE(nccl_and_staging_on_a_gpu) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::fprintf(stderr, "SKIPPED: no GPU here\n");
    std::_Exit(77);
  }
  const NcclLibrary& library = nccl_library();
  if (!library.api) {
    std::fprintf(stderr, "SKIPPED: %s\n", library.why_not.c_str());
    std::_Exit(77);
  }
  const test::Watchdog watchdog("NCCL on one rank", std::chrono::seconds(90));
  BOOST_TEST(cuda_gpu_uuid(0).size() == 40);
  const auto host = make_single();
  Gpu gpu;
  {
    NcclCommunicator communicator(library.api, cuda_device_api(), *host,
                                  {std::chrono::seconds(60), std::chrono::seconds(10)});
    one_rank_is_the_identity(communicator, gpu);
    communicator.finish();
    BOOST_TEST(communicator.abort());
  }
  {
    NcclCommunicator communicator(library.api, cuda_device_api(), *host,
                                  {std::chrono::seconds(60), std::chrono::seconds(10)});
    BOOST_TEST(communicator.abort());
  }
  check(cudaMemset(gpu.copy, 0, gpu.bytes));
  check(cudaDeviceSynchronize());
  StagedDeviceCommunicator staged(*host, cuda_device_api(), {});
  one_rank_is_the_identity(staged, gpu);
}

}  // namespace
}  // namespace blocktrain::comm
