// The logic around NCCL, on an NCCL without GPUs that hangs and fails where it is told to.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <thread>

#include "comm/local/local_world.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "kernels/error.hpp"
#include "tests/comm/cases.hpp"
#include "tests/comm/device_cases.hpp"
#include "tests/comm/fake_nccl.hpp"
#include "tests/comm/watchdog.hpp"

namespace blocktrain::comm {
namespace {

using test::FakeNccl;
using test::FakeNcclRank;
using test::NcclFaults;
using test::require;
constexpr auto replica = TrafficPurpose::replica;
const NcclOptions short_options{std::chrono::milliseconds(200), std::chrono::milliseconds(200)};
const NcclOptions patient_options{std::chrono::seconds(60), std::chrono::seconds(20)};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What the RunError of `body` says; empty if it threw none.
template <class Body>
std::string failure_of(const Body& body) {
  try {
    body();
  } catch (const RunError& error) {
    return error.what();
  }
  return {};
}

void all_reduce(DeviceCommunicator& c) {
  std::vector<float> data(100, 1.0f);
  c.all_reduce_sum(data, replica, nullptr);
  c.wait(nullptr);
}

void exchange(DeviceCommunicator& c) {
  std::vector<std::byte> data(100), into(100);
  const std::vector<Transfer> own{send_to(c.rank(), data.data(), 100), receive_from(c.rank(), into.data(), 100)};
  c.exchange(own, replica, nullptr);
  c.wait(nullptr);
}

/// A communicator of one rank with `faults`; `call` has to fail with all of `words`, and later calls at once.
void expect_failure(const char* name, const NcclFaults& faults, void (*call)(DeviceCommunicator&),
                    const std::vector<std::string>& words) {
  BOOST_TEST_CONTEXT(name) {
    const test::Watchdog watchdog(name);
    FakeNccl nccl;
    const FakeNcclRank tables = nccl.rank(faults);
    const auto host = make_single();
    NcclCommunicator communicator(tables.nccl, tables.device, *host, short_options);
    const std::string text = failure_of([&] { call(communicator); });
    for (const std::string& part : words)
      BOOST_TEST(contains(text, part), "\"" << text << "\" lacks \"" << part << "\"");
    BOOST_TEST(contains(text, "rank 0 of 1: "), text);
    BOOST_TEST(tables.calls->aborts == 1);
    BOOST_TEST(tables.calls->open_groups == 0);
    for (const auto& later :
         {failure_of([&] { all_reduce(communicator); }), failure_of([&] { exchange(communicator); }),
          failure_of([&] { communicator.wait(nullptr); }), failure_of([&] { (void)communicator.poll(nullptr); })}) {
      BOOST_TEST(contains(later, "is not possible any more: "), later);
      BOOST_TEST(contains(later, words.front()), later);
    }
    communicator.finish();  // nothing is left to end
    BOOST_TEST(communicator.abort() == !faults.abort_hangs);
    BOOST_TEST(tables.calls->aborts == 1);
    BOOST_TEST(tables.calls->finalizes == (faults.finalize_never_ends ? 1 : 0));
  }
}

BOOST_AUTO_TEST_CASE(every_case_in_worlds_of_several_sizes) {
  for (const test::DeviceCase& c : test::device_cases()) {
    for (const int size : {1, 2, 3, 5}) {
      FakeNccl nccl;
      std::atomic<int> aborts = 0, destroys = 0;
      BOOST_TEST_CONTEXT(c.name << ", " << size << " ranks") {
        BOOST_CHECK_NO_THROW(run_local_world(size, [&](Communicator& host) {
          const FakeNcclRank tables = nccl.rank();
          {
            NcclCommunicator communicator(tables.nccl, tables.device, host, patient_options);
            c.run(communicator);
          }
          aborts += tables.calls->aborts;
          destroys += tables.calls->destroys;
        }));
        BOOST_TEST(aborts == 0);
        BOOST_TEST(destroys == size);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(an_init_that_never_ends) {
  const test::Watchdog watchdog("an init that never ends");
  FakeNccl nccl;
  const FakeNcclRank tables = nccl.rank({.init_never_ends = true});
  const auto host = make_single();
  const std::string text = failure_of([&] { NcclCommunicator(tables.nccl, tables.device, *host, short_options); });
  for (const char* part : {"rank 0 of 1: ", "ncclCommInitRankConfig", "0.2 s", "fake last words"}) {
    BOOST_TEST(contains(text, part), text);
  }
  BOOST_TEST(tables.calls->aborts == 1);
}

BOOST_AUTO_TEST_CASE(an_init_without_one_of_the_ranks) {
  const test::Watchdog watchdog("an init without one of the ranks");
  FakeNccl nccl;
  run_local_world(2, [&](Communicator& host) {
    const FakeNcclRank tables = nccl.rank({.init_error = host.rank() == 1 ? 5 : 0});
    const std::string text = failure_of([&] { NcclCommunicator(tables.nccl, tables.device, host, short_options); });
    require(contains(text, host.rank() == 1 ? "fake error 5 (code 5)" : "0.2 s"), host, text);
    require(tables.calls->aborts == (host.rank() == 1 ? 0 : 1), host, "aborts");
  });
}

BOOST_AUTO_TEST_CASE(no_unique_id_is_told_to_all) {
  const test::Watchdog watchdog("no unique id");
  FakeNccl nccl;
  run_local_world(3, [&](Communicator& host) {
    const FakeNcclRank tables = nccl.rank({.unique_id_error = host.rank() == 0 ? 2 : 0});
    const std::string text = failure_of([&] { NcclCommunicator(tables.nccl, tables.device, host, patient_options); });
    require(contains(text, "ncclGetUniqueId failed: on its first rank: fake error 2"), host, text);
  });
}

BOOST_AUTO_TEST_CASE(collectives_that_never_end) {
  expect_failure("on the host", {.taking_in_never_ends = true}, all_reduce,
                 {"ncclAllReduce failed", "0.2 s", "fake last words"});
  expect_failure("on the device", {.device_never_ends = true}, all_reduce,
                 {"ncclAllReduce failed", "0.2 s", "fake last words"});
  expect_failure("an exchange", {.device_never_ends = true}, exchange, {"ncclGroupEnd", "0.2 s"});
  const auto polled = [](DeviceCommunicator& c) {
    std::vector<float> data(100);
    c.all_reduce_sum(data, replica, nullptr);
    while (!c.poll(nullptr)) std::this_thread::yield();
  };
  expect_failure("polled", {.device_never_ends = true}, polled, {"ncclAllReduce failed", "0.2 s"});
}

BOOST_AUTO_TEST_CASE(a_rank_that_does_not_come) {
  const test::Watchdog watchdog("a rank that does not come");
  FakeNccl nccl;
  run_local_world(3, [&](Communicator& host) {
    const FakeNcclRank tables = nccl.rank();
    NcclCommunicator communicator(tables.nccl, tables.device, host, short_options);
    if (host.rank() != 1) {
      const std::string text = failure_of([&] { all_reduce(communicator); });
      require(contains(text, "rank " + std::to_string(host.rank()) + " of 3: ncclAllReduce failed"), host, text);
    }
    host.barrier(TrafficPurpose::control);
    communicator.abort();
    require(tables.calls->aborts == 1 && tables.calls->finalizes == 0, host, "aborted once, not finalized");
  });
}

BOOST_AUTO_TEST_CASE(errors) {
  expect_failure("asynchronous", {.async_error = 6}, all_reduce,
                 {"ncclAllReduce failed", "fake error 6 (code 6)", "fake last words"});
  expect_failure("at the end of a group", {.group_end_error = 4}, exchange, {"ncclGroupEnd", "fake error 4 (code 4)"});
  expect_failure("within a group", {.send_error = 5}, exchange, {"ncclGroupEnd", "fake error 5 (code 5)"});
  expect_failure("of the device", {.event_error = 700}, all_reduce, {"ncclAllReduce failed", "code 700"});
}

BOOST_AUTO_TEST_CASE(an_abort_that_hangs) {
  expect_failure("abort", {.device_never_ends = true, .abort_hangs = true}, all_reduce,
                 {"ncclAllReduce failed", "ncclCommAbort did not return within 0.2 s"});
  const test::Watchdog watchdog("an abort that hangs, in init");
  FakeNccl nccl;
  const FakeNcclRank tables = nccl.rank({.init_never_ends = true, .abort_hangs = true});
  const auto host = make_single();
  BOOST_TEST(contains(failure_of([&] { NcclCommunicator(tables.nccl, tables.device, *host, short_options); }),
                      "ncclCommAbort did not return within 0.2 s"));
}

BOOST_AUTO_TEST_CASE(ends_that_hang) {
  expect_failure("finalize", {.finalize_never_ends = true}, [](DeviceCommunicator& c) { c.finish(); },
                 {"ncclCommFinalize failed", "0.2 s"});
  const test::Watchdog watchdog("a destroy that hangs");
  FakeNccl nccl;
  const FakeNcclRank tables = nccl.rank({.destroy_hangs = true});
  const auto host = make_single();
  NcclCommunicator communicator(tables.nccl, tables.device, *host, short_options);
  BOOST_TEST(contains(failure_of([&] { communicator.finish(); }), "ncclCommDestroy did not return within 0.2 s"));
  BOOST_TEST(!communicator.abort());
  // The helper's thread may still enter the fake while this test's memory goes; it owns what it touches.
}

BOOST_AUTO_TEST_CASE(an_exception_aborts_instead_of_waiting_for_the_others) {
  const test::Watchdog watchdog("destruction by an exception");
  FakeNccl nccl;
  const FakeNcclRank tables = nccl.rank({.finalize_never_ends = true});
  const auto host = make_single();
  BOOST_CHECK_THROW(
      {
        NcclCommunicator communicator(tables.nccl, tables.device, *host, patient_options);
        throw InputError("line 3: a bad key");
      },
      InputError);
  BOOST_TEST(tables.calls->aborts == 1);
  BOOST_TEST(tables.calls->finalizes == 0);
}

BOOST_AUTO_TEST_CASE(a_second_stream_needs_a_wait) {
  FakeNccl nccl;
  const FakeNcclRank tables = nccl.rank();
  const auto host = make_single();
  NcclCommunicator communicator(tables.nccl, tables.device, *host, patient_options);
  int other = 0;
  std::vector<float> data(10);
  communicator.all_reduce_sum(data, replica, nullptr);
  BOOST_CHECK_THROW(communicator.all_reduce_sum(data, replica, &other), std::logic_error);
  communicator.wait(nullptr);
  communicator.all_reduce_sum(data, replica, &other);
  communicator.wait(&other);
}

}  // namespace
}  // namespace blocktrain::comm
