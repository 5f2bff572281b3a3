// The MPI transport, under mpirun. Each rank runs every case; a rank that fails leaves the others to their deadline.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <string>

#include "comm/launch.hpp"
#include "comm/mpi/mpi_world.hpp"
#include "kernels/error.hpp"
#include "tests/comm/cases.hpp"
#include "tests/comm/mpi_fixture.hpp"

namespace blocktrain::comm {
namespace {

using test::mpi_world;

BOOST_AUTO_TEST_CASE(the_launch_is_seen) {
  BOOST_TEST(launched_by_mpirun());
  BOOST_TEST(MpiWorld::available());
  BOOST_TEST(!MpiWorld::library_version().empty());
  BOOST_TEST(mpi_world().transport() == "mpi");
  BOOST_TEST(process_rank() == mpi_world().rank());
  const char* ranks = std::getenv("BLOCKTRAIN_TEST_RANKS");
  BOOST_REQUIRE(ranks != nullptr);
  BOOST_TEST(mpi_world().size() == std::stoi(ranks));
}

BOOST_AUTO_TEST_CASE(every_case) {
  for (const test::Case& c : test::cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi_world().rank() << ": " << c.name);
    const auto group = mpi_world().split(0);
    BOOST_TEST_CONTEXT(c.name) { BOOST_CHECK_NO_THROW(c.run(*group)); }
  }
}

BOOST_AUTO_TEST_CASE(every_case_in_pairs) {
  for (const test::Case& c : test::cases()) {
    BOOST_TEST_MESSAGE("rank " << mpi_world().rank() << ", in pairs: " << c.name);
    const auto group = mpi_world().split(mpi_world().rank() / 2);
    BOOST_TEST_CONTEXT(c.name << ", in pairs") { BOOST_CHECK_NO_THROW(c.run(*group)); }
  }
}

BOOST_AUTO_TEST_CASE(mpi_starts_once) { BOOST_CHECK_THROW((void)MpiWorld::start(), RunError); }

}  // namespace
}  // namespace blocktrain::comm
