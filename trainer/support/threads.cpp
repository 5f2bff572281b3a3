#include "trainer/support/threads.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sstream>
#include <string_view>

#include "trainer/support/before_libraries.hpp"

namespace blocktrain::trainer {
namespace {

// Room for 64 Ki CPUs: glibc's cpu_set_t ends at 1024, and the kernel refuses a set that is too small for its machine.
constexpr std::size_t mask_words = 1024;
struct Mask {
  unsigned long words[mask_words];
  std::size_t bytes;  ///< 0: could not be read
};

Mask g_at_start;

void read_mask(Mask& mask) {
  // By hand: this runs before the C++ library, and main(), have begun.
  for (std::size_t words = 16; words <= mask_words; words *= 2) {
    const std::size_t bytes = words * sizeof(unsigned long);
    if (sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t*>(mask.words)) == 0) {
      mask.bytes = bytes;
      return;
    }
  }
}

void read_mask_at_start() { read_mask(g_at_start); }
BLOCKTRAIN_BEFORE_LIBRARIES(read_mask_at_start)

std::vector<int> cpus_of(const Mask& mask) {
  std::vector<int> cpus;
  constexpr std::size_t bits = sizeof(unsigned long) * 8;
  for (std::size_t cpu = 0; cpu < mask.bytes * 8; ++cpu) {
    if ((mask.words[cpu / bits] >> (cpu % bits) & 1) != 0) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

std::string counted(std::int64_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

int first_number(const char* text) {
  if (text == nullptr) return 0;
  int value = 0;
  while (*text == ' ') ++text;
  const auto [rest, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || value < 1 || (*rest != '\0' && *rest != ',' && *rest != ' ')) return 0;
  return std::min(value, 1024);
}

/// One line for each part: CPUs, quota, its group's id, its name.
std::string encode(const ComputeShare& share) {
  std::string text;
  for (const int cpu : share.cpus) text += fmt::format("{}{}", text.empty() ? "" : " ", cpu);
  return fmt::format("{}\n{}\n{}\n{}", text, share.quota.value_or(0), share.quota_id, share.quota_name);
}

ComputeShare decode(const std::string& text) {
  ComputeShare share;
  std::istringstream in(text);
  std::string line;
  if (std::getline(in, line)) {
    std::istringstream numbers(line);
    for (int cpu = 0; numbers >> cpu;) share.cpus.push_back(cpu);
  }
  if (std::getline(in, line)) {
    const double quota = std::strtod(line.c_str(), nullptr);
    if (quota > 0) share.quota = quota;
  }
  std::getline(in, share.quota_id);
  std::getline(in, share.quota_name);
  return share;
}

/// Its part of the CPUs in its mask: each is shared evenly by the ranks whose masks have it.
double part_of_cpus(const std::vector<ComputeShare>& on_host, std::size_t me, int& sharing) {
  double part = 0;
  sharing = 1;
  for (const int cpu : on_host[me].cpus) {
    int ranks = 0;
    for (const ComputeShare& other : on_host) {
      ranks += std::binary_search(other.cpus.begin(), other.cpus.end(), cpu) ? 1 : 0;
    }
    part += 1.0 / std::max(1, ranks);
    sharing = std::max(sharing, ranks);
  }
  return part;
}

}  // namespace

const std::vector<int>& cpus_at_start() {
  static const std::vector<int> cpus = [] {
    if (g_at_start.bytes == 0) read_mask(g_at_start);  // a system or a build without .preinit_array
    return cpus_of(g_at_start);
  }();
  return cpus;
}

void use_cpus_at_start() noexcept {
  Mask now{};
  read_mask(now);
  if (g_at_start.bytes == 0 || now.bytes != g_at_start.bytes) return;
  if (std::memcmp(now.words, g_at_start.words, now.bytes) == 0) return;
  // Where that is refused, the CPUs that are left have to do.
  sched_setaffinity(0, g_at_start.bytes, reinterpret_cast<const cpu_set_t*>(g_at_start.words));
}

ComputeShare compute_share(const std::vector<ControlGroup>& groups) {
  ComputeShare share;
  share.cpus = cpus_at_start();
  for (const ControlGroup& group : groups) {
    if (!group.cpus || (share.quota && *share.quota <= *group.cpus)) continue;
    share.quota = group.cpus;
    share.quota_id = group.id;
    share.quota_name = group.path;
  }
  return share;
}

ThreadWishes thread_wishes(const char* omp_num_threads, const char* omp_thread_limit) {
  return {first_number(omp_num_threads), first_number(omp_thread_limit)};
}

ThreadChoice choose_threads(int configured, const ThreadWishes& wishes, const std::vector<ComputeShare>& on_host,
                            std::size_t me) {
  if (configured > 0) return {configured, "parallel.threads"};
  const auto limited = [&](ThreadChoice choice) {
    if (wishes.most > 0 && wishes.most < choice.threads) return ThreadChoice{wishes.most, "OMP_THREAD_LIMIT"};
    return choice;
  };
  if (wishes.threads > 0) return limited({wishes.threads, "OMP_NUM_THREADS"});
  const ComputeShare& mine = on_host.at(me);
  const auto cpus = static_cast<std::int64_t>(mine.cpus.size());
  ThreadChoice choice;
  if (cpus == 0) {
    choice.reason = "the system does not tell which CPUs there are";
  } else {
    int sharing = 1;
    const double part = part_of_cpus(on_host, me, sharing);
    choice.threads = std::clamp(static_cast<int>(part + 1e-9), 1, 1024);
    choice.reason = sharing > 1 ? fmt::format("{} ranks share {}", sharing, counted(cpus, "CPU", "CPUs"))
                                : fmt::format("{} for this rank", counted(cpus, "CPU", "CPUs"));
  }
  if (mine.quota) {
    // Rounded up: two threads of a quota of 1.5 compute more than one, and wait together.
    const auto ranks = std::count_if(on_host.begin(), on_host.end(),
                                     [&](const ComputeShare& s) { return s.quota && s.quota_id == mine.quota_id; });
    const int part = std::max(
        1, static_cast<int>(std::ceil(std::min(*mine.quota, 65536.0) - 1e-9)) / std::max(1, static_cast<int>(ranks)));
    if (part < choice.threads) {
      choice.threads = part;
      choice.reason = fmt::format("control group {} allows {:.3g} CPUs{}", mine.quota_name, *mine.quota,
                                  ranks > 1 ? fmt::format(" to {} ranks", ranks) : std::string());
    }
  }
  return limited(choice);
}

ThreadChoice choose_threads(comm::Communicator& world, const comm::HostMap& hosts, int configured) {
  const std::string mine = encode(compute_share(control_groups()));
  const auto all = world.all_gather(std::as_bytes(std::span(mine)), comm::TrafficPurpose::control);
  const auto host = static_cast<std::size_t>(hosts.host_of_rank.at(static_cast<std::size_t>(world.rank())));
  std::vector<ComputeShare> on_host;
  for (const int rank : hosts.ranks_of_host.at(host)) {
    const std::vector<std::byte>& bytes = all.at(static_cast<std::size_t>(rank));
    on_host.push_back(decode(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  }
  return choose_threads(configured, thread_wishes(std::getenv("OMP_NUM_THREADS"), std::getenv("OMP_THREAD_LIMIT")),
                        on_host, static_cast<std::size_t>(hosts.local_rank(world.rank())));
}

ThreadChoice choose_threads_alone(int configured) {
  return choose_threads(configured, thread_wishes(std::getenv("OMP_NUM_THREADS"), std::getenv("OMP_THREAD_LIMIT")),
                        {compute_share(control_groups())}, 0);
}

}  // namespace blocktrain::trainer
