// What the ranks tell rank 0 of the machines they are on.

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "comm/local/local_world.hpp"
#include "trainer/coordinator/gather_host_facts.hpp"

namespace blocktrain::trainer {
namespace {

BOOST_AUTO_TEST_CASE(every_rank_knows_the_hosts_of_all) {
  const HostFacts here = this_host();
  std::vector<std::vector<HostFacts>> told(3);
  comm::run_local_world(3, [&](comm::Communicator& world) {
    const ThreadChoice threads{4 + world.rank(), "as rank " + std::to_string(world.rank()) + " was told"};
    told[static_cast<std::size_t>(world.rank())] = gather_host_facts(world, comm::map_hosts(world), threads);
  });
  for (const std::vector<HostFacts>& hosts : told) {
    BOOST_REQUIRE_EQUAL(hosts.size(), 1u);
    const HostFacts& f = hosts.front();
    BOOST_TEST(f.hostname == here.hostname);
    BOOST_TEST(f.cpu == here.cpu);
    BOOST_TEST(f.cores == here.cores);
    BOOST_TEST(f.memory_bytes == here.memory_bytes);
    BOOST_TEST(f.ranks == 3);
    // Of its first rank.
    BOOST_TEST(f.threads == 4);
    BOOST_TEST(f.threads_reason == "as rank 0 was told");
  }
}

}  // namespace
}  // namespace blocktrain::trainer
