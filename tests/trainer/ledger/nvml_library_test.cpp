// NVML opened at run time: absent, incomplete, whole; and what it says of the machine.
#include "trainer/ledger/energy/nvml_library.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/trainer/ledger/fake_nvml.hpp"
#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/energy/nvml_memory.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("not in: " << text);
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nvml_library)

BOOST_AUTO_TEST_CASE(an_absent_library_is_a_reason) {
  const NvmlLibrary library = load_nvml("libblocktrain-not-there.so.1");
  BOOST_CHECK(!library.api);
  BOOST_CHECK(contains(library.reason, "libblocktrain-not-there.so.1 not found: no NVIDIA driver on this host"));
  std::string reason;
  BOOST_CHECK(NvmlSession::open(library, reason) == nullptr);
  BOOST_CHECK_EQUAL(reason, library.reason);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_library_is_a_reason) {
  Folder folder;
  const NvmlLibrary library = load_nvml(
      folder.write("libnvidia-ml.so.1", "this is text, and long enough for a header " + std::string(200, '.')));
  BOOST_CHECK(!library.api);
  BOOST_CHECK(contains(library.reason, "libnvidia-ml.so.1 cannot be opened: "));
}

BOOST_AUTO_TEST_CASE(a_library_that_lacks_a_function_is_a_reason) {
  const NvmlLibrary other = load_nvml("libm.so.6");
  BOOST_CHECK(!other.api);
  BOOST_CHECK(contains(other.reason, "has no nvmlInit_v2"));
  const NvmlLibrary old = load_nvml(FAKE_NVML_OLD);
  BOOST_CHECK(!old.api);
  BOOST_CHECK(contains(old.reason, "has no nvmlDeviceGetTotalEnergyConsumption"));
}

BOOST_AUTO_TEST_CASE(a_whole_library_is_used) {
  const NvmlLibrary library = load_nvml(FAKE_NVML_WHOLE);
  BOOST_CHECK_EQUAL(library.reason, "");
  BOOST_REQUIRE(library.api);
  BOOST_CHECK(library.api->power_usage == nullptr);  // not in this one, and not needed
  std::string reason;
  const auto session = NvmlSession::open(library, reason);
  BOOST_REQUIRE(session != nullptr);
  BOOST_CHECK_EQUAL(session->driver_version(), "1.2.3");
  const auto boards = session->boards();
  BOOST_REQUIRE_EQUAL(boards.size(), 1u);
  BOOST_CHECK_EQUAL(boards[0].uuid, "GPU-from-a-file");
  BOOST_CHECK(boards[0].has_counter);
  BOOST_CHECK_EQUAL(NvmlMemory(session, "GPU-from-a-file", 2).read().value(), 1ull << 40);
  NvmlSensor sensor(session, {0, "GPU-from-a-file"});  // with the real clock: watched for half a second at most
  const double before = sensor.read(monotonic_ns()).joules.value();
  BOOST_CHECK_GT(sensor.read(monotonic_ns()).joules.value(), before);
}

BOOST_AUTO_TEST_CASE(a_library_that_does_not_start_is_a_reason) {
  FakeNvml nvml;
  std::string reason;
  nvml.init_code = 9;
  BOOST_CHECK(NvmlSession::open(nvml.library(), reason) == nullptr);
  BOOST_CHECK(contains(reason, "NVML does not start: Driver Not Loaded (NVML error 9)"));
  nvml.init_code = nvml_version_mismatch;
  BOOST_CHECK(NvmlSession::open(nvml.library(), reason) == nullptr);
  BOOST_CHECK(contains(reason, "restart the machine"));
  BOOST_CHECK_EQUAL(nvml.shutdowns, 0);
}

BOOST_AUTO_TEST_CASE(the_last_who_needs_it_shuts_it_down) {
  FakeNvml nvml;
  nvml.boards.emplace_back().uuid = "GPU-a";
  nvml.boards[0].counter = steady(1, 1, 1'000'000);
  {
    NvmlSensor first(nvml.session(), {0, "GPU-a"}, nvml.clock());
    BOOST_CHECK_EQUAL(nvml.inits, 1);
    BOOST_CHECK_EQUAL(nvml.shutdowns, 0);
  }
  BOOST_CHECK_EQUAL(nvml.shutdowns, 1);
}

BOOST_AUTO_TEST_CASE(boards_are_listed_with_what_they_lack) {
  FakeNvml nvml;
  nvml.boards.resize(2);
  nvml.boards[0].uuid = "GPU-a";
  nvml.boards[0].name = "Fake H100";
  nvml.boards[1].uuid = "GPU-b";
  nvml.boards[1].energy_code = nvml_not_supported;
  const auto boards = nvml.session()->boards();
  BOOST_REQUIRE_EQUAL(boards.size(), 2u);
  BOOST_CHECK_EQUAL(boards[0].uuid, "GPU-a");
  BOOST_CHECK_EQUAL(boards[0].name, "Fake H100");
  BOOST_CHECK(boards[0].has_counter);
  BOOST_CHECK_EQUAL(boards[1].name, "");
  BOOST_CHECK(!boards[1].has_counter);
  BOOST_CHECK(contains(boards[1].reason, "Not Supported"));
  BOOST_CHECK_EQUAL(nvml.session()->driver_version(), "550.1");
  nvml.version_code = 999;
  BOOST_CHECK_EQUAL(nvml.session()->driver_version(), "");
  nvml.handle_code = 15;
  const auto lost = nvml.session()->boards();
  BOOST_REQUIRE_EQUAL(lost.size(), 2u);
  BOOST_CHECK(!lost[0].has_counter);
  BOOST_CHECK_EQUAL(lost[0].uuid, "");
  BOOST_CHECK(contains(lost[0].reason, "GPU is lost"));
  nvml.count_code = 999;
  BOOST_CHECK(nvml.session()->boards().empty());
}

BOOST_AUTO_TEST_SUITE_END()
