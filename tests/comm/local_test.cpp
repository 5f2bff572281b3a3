// The threads transport.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <thread>

#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "tests/comm/cases.hpp"

namespace blocktrain::comm {
namespace {

using test::require;
constexpr auto control = TrafficPurpose::control;

BOOST_AUTO_TEST_CASE(every_case_in_worlds_of_several_sizes) {
  for (const test::Case& c : test::cases()) {
    for (const int size : {1, 2, 3, 5}) {
      BOOST_TEST_CONTEXT(c.name << ", " << size << " ranks") { BOOST_CHECK_NO_THROW(run_local_world(size, c.run)); }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_case_alone) {
  for (const test::Case& c : test::cases()) {
    const auto single = make_single();
    BOOST_TEST_CONTEXT(c.name) { BOOST_CHECK_NO_THROW(c.run(*single)); }
    BOOST_TEST(single->transport() == "local");
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_ends_the_others_waits) {
  // 300 s deadlines: only poison can end these in the time a test has.
  const std::vector<void (*)(Communicator&)> waits{
      [](Communicator& c) { c.barrier(control); },
      [](Communicator& c) { (void)c.wait(1, std::chrono::milliseconds::max()); },
      [](Communicator& c) { (void)c.split(0); },
  };
  for (const auto wait : waits) {
    std::atomic<int> told = 0;
    const auto body = [&](Communicator& c) {
      const auto group = c.split(0);
      if (c.rank() == 2) throw InputError("line 3: a bad key");
      try {
        wait(*group);
      } catch (const RunError& error) {
        if (std::string(error.what()).find("rank 2 failed: line 3: a bad key") != std::string::npos) ++told;
        throw;
      }
    };
    BOOST_CHECK_EXCEPTION(run_local_world(4, body), InputError,
                          [](const InputError& error) { return std::string(error.what()) == "line 3: a bad key"; });
    BOOST_TEST(told == 3);
  }
}

BOOST_AUTO_TEST_CASE(groups_made_after_the_poison_are_poisoned) {
  LocalWorld world(1);
  const auto before = world.rank(0).split(0);
  world.poison("the disk is full");
  BOOST_CHECK_THROW(before->barrier(control), RunError);
  BOOST_CHECK_THROW(before->split(0), RunError);
  BOOST_CHECK_THROW((void)before->wait(0, std::chrono::seconds(100)), RunError);
  BOOST_CHECK_THROW((void)world.rank(0).poll(0), RunError);
}

BOOST_AUTO_TEST_CASE(meeting_in_different_calls_is_an_error) {
  BOOST_CHECK_EXCEPTION(run_local_world(2,
                                        [](Communicator& c) {
                                          if (c.rank() == 0) {
                                            c.barrier(control);
                                          } else {
                                            (void)c.all_gather({}, control);
                                          }
                                        }),
                        RunError, [](const RunError& error) {
                          return std::string(error.what()).find("different calls") != std::string::npos;
                        });
}

BOOST_AUTO_TEST_CASE(two_threads_in_collectives_of_one_rank_are_caught) {
  std::atomic<bool> caught = false;
  run_local_world(2, [&](Communicator& c) {
    if (c.rank() == 1) {
      require(c.wait(0, std::chrono::seconds(30)).has_value(), c, "no word from rank 0");
      c.barrier(control);
      return;
    }
    std::atomic<bool> inside = false;
    std::thread first([&] {
      inside = true;
      c.barrier(control);
    });
    while (!inside) std::this_thread::yield();
    while (!caught) {  // until the first thread is within the call
      try {
        if (c.traffic().calls[static_cast<std::size_t>(control)] == 1) c.barrier(control);
      } catch (const std::logic_error&) {
        caught = true;
      }
    }
    c.post(1, 0, {}, control);
    first.join();
  });
  BOOST_TEST(caught);
}

BOOST_AUTO_TEST_CASE(a_world_needs_a_rank) {
  BOOST_CHECK_THROW(LocalWorld(0), InputError);
  BOOST_CHECK_THROW(run_local_world(-1, [](Communicator&) {}), InputError);
}

}  // namespace
}  // namespace blocktrain::comm
