// Memory of a process on a GPU from NVML's list of processes: found, not found, not said, more than there was room for.
#include "trainer/ledger/energy/nvml_memory.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/trainer/ledger/fake_nvml.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

constexpr unsigned me = 4711;

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("not in: " << text);
  return found;
}

/// Two boards; this process computes on the second.
struct TwoBoards {
  FakeNvml nvml;
  TwoBoards() {
    nvml.boards.resize(2);
    nvml.boards[0].uuid = "GPU-a";
    nvml.boards[0].processes = {{me, 5000, 0, 0}};
    nvml.boards[1].uuid = "GPU-b";
    nvml.boards[1].processes = {{12, 100, 0, 0}, {me, 700, 0, 0}, {13, 100, 0, 0}};
  }
  NvmlMemory memory() const { return {nvml.session(), "GPU-b", me}; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nvml_memory)

BOOST_FIXTURE_TEST_CASE(it_is_that_of_the_process_on_the_board_with_the_uuid, TwoBoards) {
  NvmlMemory memory = this->memory();
  BOOST_TEST(memory.read().value() == 700u);
  BOOST_TEST(memory.reason() == "");
  nvml.boards[1].processes[1].used_bytes = 900;
  BOOST_TEST(memory.read().value() == 900u);
  nvml.boards[1].processes.push_back({me, 50, 0, 0});
  BOOST_TEST(memory.read().value() == 950u);
}

BOOST_FIXTURE_TEST_CASE(a_process_that_is_not_listed_has_none, TwoBoards) {
  NvmlMemory memory = this->memory();
  nvml.boards[1].processes[1].pid = 99;  // as the host numbers it
  BOOST_TEST(!memory.read());
  BOOST_TEST(contains(memory.reason(), "does not name this one"));
  nvml.boards[1].processes.clear();
  BOOST_TEST(!memory.read());
  nvml.boards[1].processes.push_back({me, 1, 0, 0});  // drivers list a process a moment after it began
  BOOST_TEST(memory.read().value() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_figure_that_is_not_available_is_none, TwoBoards) {
  NvmlMemory memory = this->memory();
  nvml.boards[1].processes[0].used_bytes = nvml_not_available;
  BOOST_TEST(memory.read().value() == 700u);  // of others it is of no interest
  nvml.boards[1].processes[1].used_bytes = nvml_not_available;
  BOOST_TEST(!memory.read());
  BOOST_TEST(contains(memory.reason(), "does not say how much"));
}

BOOST_FIXTURE_TEST_CASE(room_grows_with_the_number_of_processes, TwoBoards) {
  NvmlMemory memory = this->memory();
  auto& processes = nvml.boards[1].processes;
  processes.assign(500, {1, 1, 0, 0});
  processes.back() = {me, 64, 0, 0};
  BOOST_TEST(memory.read().value() == 64u);
  BOOST_TEST(nvml.lists == 2);
  BOOST_TEST(memory.read().value() == 64u);
  BOOST_TEST(nvml.lists == 3);  // the room stays
}

BOOST_FIXTURE_TEST_CASE(more_processes_than_a_host_can_have_are_not_given_room, TwoBoards) {
  for (const std::size_t count : {std::size_t{65'000}, std::size_t{66'000}}) {
    NvmlMemory memory = this->memory();
    auto& processes = nvml.boards[1].processes;
    processes.assign(count, {1, 1, 0, 0});
    processes.back() = {me, 64, 0, 0};
    BOOST_TEST(memory.read().has_value() == (count < 65'536));
  }
}

BOOST_FIXTURE_TEST_CASE(a_list_that_grows_between_calls_is_asked_for_again_and_not_for_ever, TwoBoards) {
  NvmlMemory memory = this->memory();
  nvml.growing_lists = 2;
  BOOST_TEST(memory.read().value() == 700u);
  nvml.growing_lists = 1000;
  nvml.lists = 0;
  BOOST_TEST(!memory.read());
  BOOST_TEST(nvml.lists < 10);
}

BOOST_FIXTURE_TEST_CASE(what_nvml_cannot_do_is_a_reason, TwoBoards) {
  NvmlMemory lost = memory();
  nvml.boards[1].processes_code = 15;
  BOOST_TEST(!lost.read());
  BOOST_TEST(contains(lost.reason(), "GPU is lost"));
  NvmlMemory elsewhere(nvml.session(), "GPU-c", me);
  BOOST_TEST(!elsewhere.read());
  BOOST_TEST(contains(elsewhere.reason(), "no GPU with the UUID GPU-c: Not Found"));
  NvmlMemory absent(nullptr, "GPU-b", me);
  BOOST_TEST(!absent.read());
  BOOST_TEST(contains(absent.reason(), "NVML is not here"));
  NvmlLibrary library = nvml.library();
  library.api->compute_processes = nullptr;
  std::string reason;
  NvmlMemory old(NvmlSession::open(library, reason), "GPU-b", me);
  BOOST_TEST(!old.read());
  BOOST_TEST(contains(old.reason(), "has no list"));
}

BOOST_AUTO_TEST_SUITE_END()
