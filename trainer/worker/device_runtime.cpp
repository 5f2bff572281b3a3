#include "trainer/worker/device_runtime.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::int64_t scopes = device_memory_scopes;

}  // namespace

std::shared_ptr<const NvmlSession> open_nvml() {
  std::string reason;
  return NvmlSession::open(load_nvml(), reason);
}

DeviceRuntimeMeter::DeviceRuntimeMeter(const kernels::Device& device, std::shared_ptr<const NvmlSession> nvml,
                                       std::size_t process_arenas, std::size_t board_arenas)
    : device_(device),
      nvml_(std::move(nvml), device.facts().uuid, static_cast<unsigned>(getpid())),
      process_arenas_(process_arenas),
      board_arenas_(board_arenas) {}

void DeviceRuntimeMeter::measure() noexcept {
  DeviceRuntime found;
  try {
    const std::optional<std::uint64_t> mine = nvml_.read();
    why_ = nvml_.reason();
    // In a container another process may bear this one's number.
    if (mine && *mine < process_arenas_) why_ = "what NVML says of this process is less than its arenas take";
    if (mine && why_.empty()) {
      found = {static_cast<std::int64_t>(*mine - process_arenas_), DeviceMemoryScope::process};
    } else if (const std::optional<std::size_t> free = device_.free_bytes()) {
      const auto used = static_cast<std::int64_t>(device_.facts().memory_bytes - *free);
      found = {std::max<std::int64_t>(0, used - static_cast<std::int64_t>(board_arenas_)), DeviceMemoryScope::board};
    }
  } catch (...) {
    found = {};  // no memory for a text: a figure is not worth a run
  }
  latest_.store(found.bytes < 0 ? -1 : found.bytes * scopes + static_cast<std::int64_t>(found.scope),
                std::memory_order_relaxed);
}

DeviceRuntime DeviceRuntimeMeter::latest() const {
  const std::int64_t both = latest_.load(std::memory_order_relaxed);
  if (both < 0) return {};
  return {both / scopes, static_cast<DeviceMemoryScope>(both % scopes)};
}

ArenasInUse arenas_in_use(comm::Communicator& world, const Plan& plan, const std::vector<comm::RankDevice>& devices,
                          const RankArenas& arenas) {
  const auto rank = static_cast<std::size_t>(world.rank());
  const ArenaBytes& planned = plan.ranks[rank].bytes;
  // Arenas of a CPU fill while the first steps touch them; staging memory has been written and stays where it is.
  const std::uint64_t resident = plan.on_gpu ? resident_bytes_of(arenas.batch.data(), planned.batch) +
                                                   resident_bytes_of(arenas.home.data(), planned.home)
                                             : planned.on_host(false);
  const auto all = world.all_gather(std::as_bytes(std::span(&resident, 1)), comm::TrafficPurpose::control);
  const bool one_process = std::string_view(world.transport()) == "local";
  ArenasInUse sum;
  for (std::size_t r = 0; r < all.size(); ++r) {
    const bool here = r == rank || one_process;
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, all[r].data(), std::min(all[r].size(), sizeof(bytes)));
    if (here) sum.host += bytes;
    if (!plan.on_gpu || devices[r].gpu_uuid != devices[rank].gpu_uuid) continue;
    const std::size_t on_board = plan.ranks[r].bytes.on_device(true);
    sum.board += on_board;
    if (here) sum.process += on_board;
  }
  return sum;
}

std::size_t resident_bytes_of(const void* memory, std::size_t bytes) {
  if (bytes == 0) return 0;
  const FileDescriptor file(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!file.open()) return bytes;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = begin / page, end = (begin + bytes + page - 1) / page;
  constexpr std::uint64_t present = std::uint64_t{1} << 63;
  std::array<std::uint64_t, 512> entries;
  std::size_t count = 0;
  for (std::uintptr_t at = first; at < end;) {
    const std::size_t wanted = std::min<std::size_t>(entries.size(), end - at) * sizeof(std::uint64_t);
    const ssize_t got = pread(file.get(), entries.data(), wanted, static_cast<off_t>(at * sizeof(std::uint64_t)));
    const std::size_t pages = got < 0 ? 0 : static_cast<std::size_t>(got) / sizeof(std::uint64_t);
    if (pages == 0) return bytes;
    count +=
        static_cast<std::size_t>(std::count_if(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(pages),
                                               [](std::uint64_t e) { return (e & present) != 0; }));
    at += pages;
  }
  return std::min(bytes, count * page);
}

}  // namespace blocktrain::trainer
