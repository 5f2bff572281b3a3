#include "tests/comm/mpi_fixture.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <memory>
#include <string>

#include "comm/mpi/mpi_world.hpp"

namespace blocktrain::comm {
namespace {

std::unique_ptr<MpiWorld> started;

struct World {
  void setup() {
    MpiOptions options;
    options.deadline = std::chrono::seconds(60);
    options.finish_deadline = std::chrono::seconds(60);
    if (const char* bytes = std::getenv("BLOCKTRAIN_TEST_CHUNK_BYTES")) options.chunk_bytes = std::stoul(bytes);
    started = MpiWorld::start(options);
  }
  void teardown() {
    if (started) started->finish();
    started.reset();
  }
};
BOOST_TEST_GLOBAL_FIXTURE(World);

}  // namespace

Communicator& test::mpi_world() { return started->world(); }

}  // namespace blocktrain::comm
