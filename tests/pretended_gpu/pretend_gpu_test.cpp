// The pretended GPU itself: what a caller must not do shows.

#include "tests/pretended_gpu/pretend_gpu.hpp"

#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <stdexcept>
#include <vector>

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;
using testing::PretendGpu;

/// Whether this process may read the byte at `p`: a system call says so where reading it would be a fault.
bool readable(const void* p) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
  const bool read = ::write(ends[1], p, 1) == 1;
  ::close(ends[0]);
  ::close(ends[1]);
  return read;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_host_cannot_touch_its_memory) {
  PretendGpu gpu;
  const float value = 3;
  BOOST_TEST(readable(&value));
  Arena arena = gpu.arena("test", 5000);
  const Tensor t = arena.allocate(DType::float32, {2, 500});
  BOOST_TEST(!readable(t.data));
  gpu.upload(t.data, &value, sizeof(value));
  gpu.ops().axpby(t, 2, t, 0, t);
  float got = 0;
  gpu.download(&got, t.data, sizeof(got));
  BOOST_TEST(got == 6);
  BOOST_TEST(!readable(t.data));
  const std::vector<double> table(1000, 0.5);
  arena.write(t, table);
  BOOST_TEST(!readable(t.data));
  gpu.download(&got, static_cast<const float*>(t.data) + 999, sizeof(got));
  BOOST_TEST(got == 0.5f);
}

BOOST_AUTO_TEST_CASE(it_cannot_touch_the_memory_of_the_host) {
  PretendGpu gpu;
  Arena device = gpu.arena("test", 64), host = gpu.staging("test", 64);
  const Tensor there = device.allocate(DType::float32, {4}), here = host.allocate(DType::float32, {4});
  BOOST_TEST(readable(here.data));
  gpu.ops().fill(there, 1);
  BOOST_CHECK_THROW(gpu.ops().fill(here, 1), std::logic_error);
  BOOST_CHECK_THROW(gpu.ops().copy(there, here), std::logic_error);
  kernels::StepState state;
  BOOST_CHECK_THROW(gpu.ops().clip_gradient(&state), std::logic_error);
  BOOST_CHECK_THROW(gpu.upload(here.data, there.data, 16), std::logic_error);
  BOOST_CHECK_THROW(gpu.download(there.data, here.data, 16), std::logic_error);
  BOOST_CHECK_THROW(gpu.copy_async(kernels::CopyStream::blocks, there.data, there.data, 16), std::logic_error);
}

BOOST_AUTO_TEST_CASE(what_is_overwritten_before_it_was_read_shows) {
  PretendGpu gpu;
  Arena arena = gpu.arena("test", 64);
  const Tensor t = arena.allocate(DType::float32, {1});
  float value = 1, got = 0;
  gpu.upload(t.data, &value, sizeof(value));
  value = 2;
  gpu.download(&got, t.data, sizeof(got));
  BOOST_TEST(got == 2);
  // An asynchronous copy that nobody waits for has not happened.
  value = 3;
  gpu.copy_async(kernels::CopyStream::blocks, t.data, &value, sizeof(value));
  gpu.download(&got, t.data, sizeof(got));
  BOOST_TEST(got == 2);
  gpu.ops_wait_for_copies(kernels::CopyStream::blocks);
  gpu.download(&got, t.data, sizeof(got));
  BOOST_TEST(got == 3);
}

}  // namespace blocktrain::trainer
