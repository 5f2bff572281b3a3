// Device memory through host memory and MPI, under mpirun.

#include <boost/test/unit_test.hpp>

#include "comm/device_transport.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "tests/comm/device_cases.hpp"
#include "tests/comm/mpi_fixture.hpp"

namespace blocktrain::comm {
namespace {

using test::mpi_world;

BOOST_AUTO_TEST_CASE(every_case) {
  alignas(16) static std::array<std::byte, 4096> buffer;
  for (const test::DeviceCase& c : test::device_cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi_world().rank() << ": " << c.name);
    StagedDeviceCommunicator device(mpi_world(), host_device_api(), buffer, std::chrono::seconds(60));
    BOOST_TEST_CONTEXT(c.name) { BOOST_CHECK_NO_THROW(c.run(device)); }
  }
}

BOOST_AUTO_TEST_CASE(the_ranks_agree_on_a_transport) {
  const int rank = mpi_world().rank();
  const auto devices = gather_devices(
      mpi_world(), {rank == 1 ? "GPU-1" : "GPU-0", rank == 2 ? "" : "2.28.9", rank == 2 ? "no such file" : ""});
  BOOST_TEST_REQUIRE(devices.size() == 3);
  BOOST_TEST(devices[1].gpu_uuid == "GPU-1");
  BOOST_TEST(devices[2].nccl_version.empty());
  BOOST_TEST(devices[2].why_no_nccl == "no such file");
  const std::vector<int> ranks{0, 1, 2};
  BOOST_TEST(choose_transport(ranks, DeviceTransport::automatic, devices).why.find("ranks 0, 2 share GPU-0") == 0);
}

}  // namespace
}  // namespace blocktrain::comm
