// The MPI transport, under mpirun. Each rank runs every case; a rank that fails leaves the others to their deadline.

#include <boost/test/unit_test.hpp>

#include "comm/launch.hpp"
#include "comm/mpi/mpi_world.hpp"
#include "kernels/error.hpp"
#include "tests/comm/cases.hpp"

namespace blocktrain::comm {
namespace {

std::unique_ptr<MpiWorld> mpi;

struct World {
  void setup() {
    MpiOptions options;
    options.deadline = std::chrono::seconds(60);
    options.finish_deadline = std::chrono::seconds(60);
    options.chunk_bytes = TEST_CHUNK_BYTES;
    mpi = MpiWorld::start(options);
  }
  void teardown() {
    if (mpi) mpi->finish();
    mpi.reset();
  }
};
BOOST_TEST_GLOBAL_FIXTURE(World);

BOOST_AUTO_TEST_CASE(the_launch_is_seen) {
  BOOST_TEST(launched_by_mpirun());
  BOOST_TEST(MpiWorld::available());
  BOOST_TEST(!MpiWorld::library_version().empty());
  BOOST_TEST(mpi->world().transport() == "mpi");
  BOOST_TEST(process_rank() == mpi->world().rank());
  BOOST_TEST(mpi->world().size() == TEST_RANKS);
}

BOOST_AUTO_TEST_CASE(every_case) {
  for (const test::Case& c : test::cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi->world().rank() << ": " << c.name);
    const auto group = mpi->world().split(0);
    BOOST_TEST_CONTEXT(c.name) { BOOST_CHECK_NO_THROW(c.run(*group)); }
  }
}

BOOST_AUTO_TEST_CASE(every_case_in_pairs) {
  for (const test::Case& c : test::cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi->world().rank() << ", in pairs: " << c.name);
    const auto group = mpi->world().split(mpi->world().rank() / 2);
    BOOST_TEST_CONTEXT(c.name << ", in pairs") { BOOST_CHECK_NO_THROW(c.run(*group)); }
  }
}

BOOST_AUTO_TEST_CASE(mpi_starts_once) { BOOST_CHECK_THROW((void)MpiWorld::start(), RunError); }

}  // namespace
}  // namespace blocktrain::comm
