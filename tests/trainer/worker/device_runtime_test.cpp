// Memory besides the arenas: what NVML says of the process, else of the board, else nothing; and of the host.
#include "trainer/worker/device_runtime.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "comm/local/local_world.hpp"
#include "tests/pretended_gpu/pretend_gpu.hpp"
#include "tests/trainer/ledger/fake_nvml.hpp"
#include "tests/trainer/train/support.hpp"
#include "trainer/exchange/rank_devices.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {
namespace {

using testing::PretendGpu;

constexpr std::size_t mib = std::size_t{1} << 20;

/// A GPU of a GiB, 500 MiB of it in use, 200 of them by arenas of this process and 50 by those of another rank.
struct BusyGpu {
  test::FakeNvml nvml;
  PretendGpu gpu;
  BusyGpu() {
    nvml.boards.resize(1);
    nvml.boards[0].uuid = gpu.facts().uuid;
    gpu.free_now = gpu.facts().memory_bytes - 500 * mib;
  }
  void list(unsigned pid, unsigned long long bytes) { nvml.boards[0].processes = {{pid, bytes, 0, 0}}; }
  DeviceRuntimeMeter meter(const std::shared_ptr<const NvmlSession>& session) const {
    return {gpu, session, 200 * mib, 250 * mib};
  }
};

void expect(DeviceRuntimeMeter& meter, std::int64_t bytes, DeviceMemoryScope scope, const std::string& why) {
  meter.measure();
  BOOST_TEST(meter.latest().bytes == bytes);
  BOOST_TEST((meter.latest().scope == scope));
  BOOST_TEST((why.empty() ? meter.why_not_process().empty() : meter.why_not_process().find(why) != std::string::npos),
             meter.why_not_process());
}

const unsigned me = static_cast<unsigned>(getpid());

}  // namespace

BOOST_FIXTURE_TEST_CASE(it_is_what_nvml_says_of_the_process_but_for_its_arenas, BusyGpu) {
  DeviceRuntimeMeter meter = this->meter(nvml.session());
  BOOST_TEST(meter.latest().bytes == -1);
  list(me, 330 * mib);
  expect(meter, 130 * mib, DeviceMemoryScope::process, "");
  list(me, 200 * mib);
  expect(meter, 0, DeviceMemoryScope::process, "");
}

BOOST_FIXTURE_TEST_CASE(else_it_is_what_is_in_use_on_the_board_but_for_all_arenas, BusyGpu) {
  DeviceRuntimeMeter meter = this->meter(nvml.session());
  list(me + 1, 330 * mib);
  expect(meter, 250 * mib, DeviceMemoryScope::board, "does not name this one");
  list(me, nvml_not_available);
  expect(meter, 250 * mib, DeviceMemoryScope::board, "does not say how much");
  // Another process bears this one's number in a container.
  list(me, 199 * mib);
  expect(meter, 250 * mib, DeviceMemoryScope::board, "less than its arenas");
  list(me, 201 * mib);
  expect(meter, mib, DeviceMemoryScope::process, "");
  DeviceRuntimeMeter without = this->meter(nullptr);
  expect(without, 250 * mib, DeviceMemoryScope::board, "NVML is not here");
  gpu.free_now = gpu.facts().memory_bytes - 249 * mib;  // an arena was given back meanwhile
  expect(without, 0, DeviceMemoryScope::board, "NVML is not here");
}

BOOST_FIXTURE_TEST_CASE(else_it_is_not_known, BusyGpu) {
  DeviceRuntimeMeter meter = this->meter(nvml.session());
  list(me, 330 * mib);
  meter.measure();
  gpu.free_now.reset();
  expect(meter, 130 * mib, DeviceMemoryScope::process, "");
  nvml.boards[0].processes_code = 15;
  expect(meter, -1, DeviceMemoryScope::unknown, "GPU is lost");
}

BOOST_AUTO_TEST_CASE(of_host_memory_the_pages_that_are_there_count) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  constexpr std::size_t pages = 1500;  // more than are asked for at a time
  void* const memory = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  BOOST_REQUIRE(memory != MAP_FAILED);
  madvise(memory, pages * page, MADV_NOHUGEPAGE);
  auto* const bytes = static_cast<std::byte*>(memory);
  BOOST_TEST(resident_bytes_of(memory, pages * page) == 0u);
  std::memset(bytes + 3 * page, 1, 7 * page);
  bytes[1400 * page] = std::byte{1};
  BOOST_TEST(resident_bytes_of(memory, pages * page) == 8 * page);
  BOOST_TEST(resident_bytes_of(bytes + 3 * page + 5, 100) == 100u);
  BOOST_TEST(resident_bytes_of(bytes + 11 * page, page) == 0u);
  BOOST_TEST(resident_bytes_of(memory, 0) == 0u);
  munmap(memory, pages * page);
}

BOOST_AUTO_TEST_CASE(ranks_of_one_process_share_its_memory) {
  Config config;
  config.parallel.device = DeviceChoice::cuda;
  config.model.layers = 3;
  config.model.width = 16;
  config.model.heads = 2;
  config.blocks.count = 3;
  config.data.batch = 6;
  const Plan plan = make_plan(config, image_layout({1, 8, 8}, 10), 3);
  const auto on_gpu = [&](std::size_t rank) { return plan.ranks[rank].bytes.on_device(true); };
  std::vector<comm::RankDevice> devices(3);
  devices[0].gpu_uuid = devices[2].gpu_uuid = "GPU-0";
  devices[1].gpu_uuid = "GPU-1";
  // Memory of pretended GPUs is taken by one thread.
  std::array<PretendGpu, 3> gpus;
  std::vector<RankArenas> arenas;
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    arenas.push_back(RankArenas::take(gpus[rank], plan.ranks[rank].bytes));
    for (const kernels::Arena* a : {&arenas[rank].batch, &arenas[rank].home}) std::memset(a->data(), 0, a->capacity());
  }
  std::vector<ArenasInUse> found(3);
  comm::run_local_world(3, [&](comm::Communicator& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    found[rank] = arenas_in_use(world, plan, devices, arenas[rank]);
  });
  std::size_t on_host = 0;
  for (const RankPlan& r : plan.ranks) on_host += r.bytes.on_host(true);
  for (const ArenasInUse& f : found) BOOST_TEST(f.host == on_host);
  BOOST_TEST(found[0].process == on_gpu(0) + on_gpu(2));
  BOOST_TEST(found[0].board == on_gpu(0) + on_gpu(2));
  BOOST_TEST(found[1].process == on_gpu(1));
  BOOST_TEST(found[1].board == on_gpu(1));
}

BOOST_AUTO_TEST_CASE(a_run_says_what_it_computes_on) {
  const auto said = [](const std::vector<kernels::DeviceFacts>& facts) {
    std::vector<std::string> names(facts.size());
    comm::run_local_world(static_cast<int>(facts.size()), [&](comm::Communicator& world) {
      const auto rank = static_cast<std::size_t>(world.rank());
      names[rank] = device_names(world, facts[rank]);
    });
    for (const std::string& name : names) BOOST_TEST(name == names.front());
    return names.front();
  };
  const auto gpu = [](const std::string& name) {
    kernels::DeviceFacts facts;
    facts.kind = "cuda";
    facts.name = name;
    return facts;
  };
  BOOST_TEST(said({{}, {}}) == "cpu");
  BOOST_TEST(said({kernels::make_cpu_device(1)->facts()}) == "cpu");
  BOOST_TEST(said({gpu("NVIDIA H100"), gpu("NVIDIA H100")}) == "NVIDIA H100");
  BOOST_TEST(said({gpu("NVIDIA H100"), gpu("NVIDIA A100"), gpu("NVIDIA H100")}) == "NVIDIA H100, NVIDIA A100");
  BOOST_TEST(said({gpu("")}) == "cuda");  // a driver that does not say
}

BOOST_AUTO_TEST_CASE(on_a_cpu_there_is_no_gpu_to_measure) {
  const testing::TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(testing::train_small(folder.path("run"), 1, {"parallel.device=cpu", "budget.steps=2"}), 0);
  const auto start = nlohmann::json::parse(testing::lines(folder.path("run") + "/ledger.jsonl").front());
  BOOST_TEST(start.at("facts").at("device") == "cpu");
  int steps = 0;
  for (const auto& row : testing::step_rows(folder.path("run"))) {
    const auto& memory = row.at("memory");
    BOOST_TEST(memory.at("device_runtime").is_null());
    BOOST_TEST(memory.at("device_runtime_scope").is_null());
    BOOST_TEST(memory.at("runtime").get<std::int64_t>() > 0);
    ++steps;
  }
  BOOST_TEST(steps == 8);
}

}  // namespace blocktrain::trainer
