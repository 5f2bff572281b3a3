// The choice of a transport, and the libraries that may be missing.

#include "comm/device_transport.hpp"

#include <boost/test/unit_test.hpp>

#include "comm/local/local_world.hpp"
#include "comm/nccl/cuda_device_api.hpp"
#include "comm/nccl/nccl_communicator.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "kernels/error.hpp"
#include "tests/comm/watchdog.hpp"

namespace blocktrain::comm {
namespace {

using Devices = std::vector<RankDevice>;
const RankDevice first{"GPU-aa", "2.28.9", ""};
const RankDevice second{"GPU-bb", "2.28.9", ""};
const RankDevice without_nccl{"GPU-cc", "", "no libnccl.so.2"};
const RankDevice older{"GPU-dd", "2.20.5", ""};
const RankDevice cpu{};

TransportDecision choose(const std::vector<int>& ranks, const Devices& devices,
                         DeviceTransport requested = DeviceTransport::automatic) {
  return choose_transport(ranks, requested, devices);
}

bool is_nccl(const TransportDecision& decision) { return decision.transport == DeviceTransport::nccl; }

BOOST_AUTO_TEST_CASE(nccl_where_every_rank_has_a_gpu_of_its_own) {
  const TransportDecision decision = choose({4, 5}, {first, second});
  BOOST_TEST(is_nccl(decision));
  BOOST_TEST(decision.why == "ranks 4, 5 have a GPU each and exchange through NCCL 2.28.9");
}

BOOST_AUTO_TEST_CASE(host_memory_elsewhere_and_the_reason) {
  const std::vector<std::tuple<std::vector<int>, Devices, std::string>> cases{
      {{0, 1, 2},
       {first, second, first},
       "ranks 0, 2 share GPU-aa: NCCL refuses two ranks on one GPU; ranks 0, 1, 2 exchange through host memory"},
      {{2, 3}, {first, without_nccl}, "rank 3 has no NCCL: no libnccl.so.2; ranks 2, 3"},
      {{2, 3}, {cpu, first}, "rank 2 has no GPU; ranks 2, 3"},
      {{2, 3}, {cpu, cpu}, "ranks 2, 3 have no GPU; ranks 2, 3"},
      {{2, 3}, {first, older}, "rank 2 has NCCL 2.28.9 and rank 3 has NCCL 2.20.5; ranks 2, 3"},
      {{7}, {first}, "a group of one rank sends nothing"},
  };
  for (const auto& [ranks, devices, words] : cases) {
    const TransportDecision decision = choose(ranks, devices);
    BOOST_TEST(!is_nccl(decision));
    BOOST_TEST(decision.why.find(words) == 0, decision.why);
  }
}

BOOST_AUTO_TEST_CASE(a_wish_counts_where_it_can) {
  BOOST_TEST(!is_nccl(choose({0, 1}, {first, second}, DeviceTransport::staged)));
  BOOST_TEST(is_nccl(choose({0, 1}, {first, second}, DeviceTransport::nccl)));
  BOOST_TEST(is_nccl(choose({0}, {first}, DeviceTransport::nccl)));
  for (const Devices& devices : {Devices{first, first}, Devices{first, cpu}, Devices{without_nccl, first}}) {
    BOOST_CHECK_EXCEPTION(choose({0, 1}, devices, DeviceTransport::nccl), InputError, [](const InputError& error) {
      const std::string text = error.what();
      return text.find("parallel.gpu_transport is nccl") == 0 &&
             text.find("use parallel.gpu_transport: auto") != text.npos;
    });
  }
  BOOST_CHECK_THROW(choose({0, 1}, {first}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_missing_library_is_a_reason_and_no_crash) {
  const std::vector<std::string> names{"libnccl-that-is-nowhere.so.2"};
  const NcclLibrary missing = open_nccl_library(names);
  BOOST_TEST(missing.api == nullptr);
  BOOST_TEST(!missing.why_not.empty());
  const NcclLibrary& real = nccl_library();
  BOOST_TEST((real.api == nullptr) == real.version.empty());
  BOOST_TEST((real.api == nullptr) == !real.why_not.empty());
  BOOST_TEST_MESSAGE("NCCL here: " << (real.api ? real.version : real.why_not));
}

BOOST_AUTO_TEST_CASE(a_library_that_is_another_is_a_reason) {
  const std::vector<std::string> names{"libc.so.6"};
  const NcclLibrary wrong = open_nccl_library(names);
  BOOST_TEST(wrong.api == nullptr);
  BOOST_TEST(!wrong.why_not.empty());
}

BOOST_AUTO_TEST_CASE(a_build_without_cuda_says_so) {
  if (cuda_device_api_available()) {
    BOOST_TEST(cuda_device_api() != nullptr);
    return;
  }
  BOOST_CHECK_THROW((void)cuda_device_api(), InputError);
  BOOST_CHECK_THROW((void)cuda_gpu_uuid(0), InputError);
}

bool has_gpu() {
  try {
    return !cuda_gpu_uuid(0).empty();
  } catch (const LibraryError&) {
    return false;
  }
}

BOOST_AUTO_TEST_CASE(cuda_and_nccl_without_a_gpu_fail_in_words) {
  if (!cuda_device_api_available() || has_gpu()) return;
  BOOST_CHECK_THROW(const DeviceEvent event{cuda_device_api()}, LibraryError);
  const NcclLibrary& library = nccl_library();
  if (!library.api) return;
  const test::Watchdog watchdog("NCCL without a GPU", std::chrono::seconds(90));
  const auto host = make_single();
  const NcclOptions options{std::chrono::seconds(60), std::chrono::seconds(10)};
  BOOST_CHECK_EXCEPTION(NcclCommunicator(library.api, host_device_api(), *host, options), RunError,
                        [](const RunError& error) {
                          const std::string text = error.what();
                          BOOST_TEST_MESSAGE(text);
                          return text.find("rank 0 of 1: nccl") == 0 && text.find(" failed: ") != text.npos;
                        });
}

}  // namespace
}  // namespace blocktrain::comm
