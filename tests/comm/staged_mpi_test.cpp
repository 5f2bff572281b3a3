// Device memory through host memory and MPI, under mpirun.

#include <boost/test/unit_test.hpp>

#include "comm/device_transport.hpp"
#include "comm/mpi/mpi_world.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "tests/comm/device_cases.hpp"

namespace blocktrain::comm {
namespace {

std::unique_ptr<MpiWorld> mpi;

struct World {
  void setup() {
    MpiOptions options;
    options.deadline = std::chrono::seconds(60);
    options.finish_deadline = std::chrono::seconds(60);
    mpi = MpiWorld::start(options);
  }
  void teardown() {
    if (mpi) mpi->finish();
    mpi.reset();
  }
};
BOOST_TEST_GLOBAL_FIXTURE(World);

BOOST_AUTO_TEST_CASE(every_case) {
  alignas(16) static std::array<std::byte, 4096> buffer;
  for (const test::DeviceCase& c : test::device_cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi->world().rank() << ": " << c.name);
    StagedDeviceCommunicator device(mpi->world(), host_device_api(), buffer, std::chrono::seconds(60));
    BOOST_TEST_CONTEXT(c.name) { BOOST_CHECK_NO_THROW(c.run(device)); }
  }
}

BOOST_AUTO_TEST_CASE(the_ranks_agree_on_a_transport) {
  const int rank = mpi->world().rank();
  const auto devices = gather_devices(
      mpi->world(), {rank == 1 ? "GPU-1" : "GPU-0", rank == 2 ? "" : "2.28.9", rank == 2 ? "no such file" : ""});
  BOOST_TEST_REQUIRE(devices.size() == 3);
  BOOST_TEST(devices[1].gpu_uuid == "GPU-1");
  BOOST_TEST(devices[2].nccl_version.empty());
  BOOST_TEST(devices[2].why_no_nccl == "no such file");
  const std::vector<int> ranks{0, 1, 2};
  BOOST_TEST(choose_transport(ranks, DeviceTransport::automatic, devices).why.find("ranks 0, 2 share GPU-0") == 0);
}

}  // namespace
}  // namespace blocktrain::comm
