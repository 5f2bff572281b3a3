#pragma once
/// A table of NVML's functions over made-up boards, and a clock that moves when somebody waits.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/ledger/energy/nvml_sensor.hpp"

namespace blocktrain::trainer::test {

struct FakeBoard {
  std::string uuid, name;
  /// The counter in millijoules at a time in nanoseconds.
  std::function<std::uint64_t(std::int64_t)> counter = [](std::int64_t) { return 0; };
  int energy_code = nvml_success;
  int power_milliwatts = -1;    ///< the mean of a second; -1: not supported
  int instant_milliwatts = -1;  ///< -1: not supported
  unsigned instant_type = nvml_type_unsigned;
  int limit_milliwatts = -1;
  std::vector<NvmlProcess> processes;
  int processes_code = nvml_success;
};

/// One at a time: the functions of a table know nothing but their arguments.
struct FakeNvml {
  std::vector<FakeBoard> boards;
  std::int64_t now = 1'000'000'000;
  int init_code = nvml_success, count_code = nvml_success, handle_code = nvml_success, version_code = nvml_success;
  int inits = 0, shutdowns = 0, reads = 0, lists = 0;
  int growing_lists = 0;  ///< of so many calls each finds more processes than there is room for

  static FakeNvml*& current() {
    static FakeNvml* fake = nullptr;
    return fake;
  }
  FakeNvml() { current() = this; }
  ~FakeNvml() { current() = nullptr; }
  FakeNvml(const FakeNvml&) = delete;
  FakeNvml& operator=(const FakeNvml&) = delete;

  PollClock clock() {
    return {[this] { return now; }, [this](std::int64_t nanoseconds) { now += nanoseconds; }};
  }
  NvmlLibrary library() const { return {table(), {}}; }
  std::shared_ptr<const NvmlSession> session() const {
    std::string reason;
    return NvmlSession::open(library(), reason);
  }

  static FakeBoard& board(NvmlDevice device) { return current()->boards[reinterpret_cast<std::uintptr_t>(device) - 1]; }
  static NvmlDevice handle(std::size_t index) { return reinterpret_cast<NvmlDevice>(index + 1); }
  static int give(const std::string& text, char* to, unsigned size) {
    if (text.empty()) return nvml_not_supported;
    std::snprintf(to, size, "%s", text.c_str());
    return nvml_success;
  }
  static int give_milliwatts(int value, unsigned* to) {
    if (value < 0) return nvml_not_supported;
    *to = static_cast<unsigned>(value);
    return nvml_success;
  }

  static NvmlApi table() {
    NvmlApi api;
    api.init = [] {
      ++current()->inits;
      return current()->init_code;
    };
    api.shutdown = [] {
      ++current()->shutdowns;
      return nvml_success;
    };
    api.error_string = [](int code) -> const char* {
      switch (code) {
        case nvml_not_supported:
          return "Not Supported";
        case nvml_not_found:
          return "Not Found";
        case 9:
          return "Driver Not Loaded";
        case 15:
          return "GPU is lost";
        case nvml_version_mismatch:
          return "Driver/library version mismatch";
        default:
          return nullptr;
      }
    };
    api.driver_version = [](char* text, unsigned size) {
      give("550.1", text, size);
      return current()->version_code;
    };
    api.device_count = [](unsigned* count) {
      *count = static_cast<unsigned>(current()->boards.size());
      return current()->count_code;
    };
    api.device_by_index = [](unsigned index, NvmlDevice* device) {
      *device = handle(index);
      return current()->handle_code;
    };
    api.device_by_uuid = [](const char* uuid, NvmlDevice* device) {
      if (current()->handle_code != nvml_success) return current()->handle_code;
      for (std::size_t i = 0; i < current()->boards.size(); ++i) {
        if (current()->boards[i].uuid != uuid) continue;
        *device = handle(i);
        return nvml_success;
      }
      return nvml_not_found;
    };
    api.device_uuid = [](NvmlDevice device, char* text, unsigned size) { return give(board(device).uuid, text, size); };
    api.device_name = [](NvmlDevice device, char* text, unsigned size) { return give(board(device).name, text, size); };
    api.total_energy = [](NvmlDevice device, unsigned long long* millijoules) {
      ++current()->reads;
      *millijoules = board(device).counter(current()->now);
      return board(device).energy_code;
    };
    api.power_usage = [](NvmlDevice device, unsigned* milliwatts) {
      return give_milliwatts(board(device).power_milliwatts, milliwatts);
    };
    api.field_values = [](NvmlDevice device, int count, NvmlField* fields) {
      const FakeBoard& b = board(device);
      for (int i = 0; i < count; ++i) {
        NvmlField& f = fields[i];
        f.code = f.id == nvml_power_instant && b.instant_milliwatts >= 0 ? nvml_success : nvml_not_supported;
        if (f.code != nvml_success) continue;
        f.type = b.instant_type;
        const auto value = static_cast<unsigned>(b.instant_milliwatts);
        if (f.type == nvml_type_unsigned) {
          f.value.number = value;
        } else {
          f.value.large_number = value;
        }
      }
      return nvml_success;
    };
    api.power_limit = [](NvmlDevice device, unsigned* milliwatts) {
      return give_milliwatts(board(device).limit_milliwatts, milliwatts);
    };
    api.compute_processes = [](NvmlDevice device, unsigned* count, NvmlProcess* to) {
      FakeBoard& b = board(device);
      ++current()->lists;
      if (b.processes_code != nvml_success) return b.processes_code;
      const auto room = static_cast<std::size_t>(*count);
      *count = static_cast<unsigned>(b.processes.size());
      if (current()->lists <= current()->growing_lists) {
        b.processes.resize(b.processes.size() + 40);  // after it has told how many there are
        return nvml_insufficient_size;
      }
      if (b.processes.size() > room) return nvml_insufficient_size;
      std::copy(b.processes.begin(), b.processes.end(), to);
      return nvml_success;
    };
    return api;
  }
};

/// A counter that starts at `from` and moves every `period` nanoseconds by what `watts` make of it.
inline std::function<std::uint64_t(std::int64_t)> steady(std::uint64_t from, double watts, std::int64_t period) {
  return [=](std::int64_t now) {
    const std::int64_t moves = now / period;
    return from + static_cast<std::uint64_t>(static_cast<double>(moves * period) * 1e-6 * watts);
  };
}

}  // namespace blocktrain::trainer::test
