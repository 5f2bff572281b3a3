// The GPU's twin of bench_kernels: every op of a training step that memory bounds, attention, and matrix products, at
// the shapes of two networks, in bfloat16 and float32. Needs a GPU, but for --list.
//
// An op is captured several times into one graph, each time on operands of its own, so that together they are larger
// than the GPU's caches and the host's part is not counted; CUDA events take the time of the graph. GB/s counts each
// input once and each output once. A copy of device memory takes turns with the op: its bytes read and written per
// second are what the share is of. For attention and products the rate is operations, and their peers are cuDNN and
// cuBLASLt called alone.
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/cuda_rows.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/device.hpp"

namespace blocktrain::bench {
namespace {

using kernels::Device;
using nlohmann::ordered_json;

struct Demand {
  std::size_t arena_bytes;  ///< of one set of operands
  double moved;             ///< by one call
};

Demand demand_of(const Row& row, DType dtype) {
  Arena arena = Arena::measuring("operands");
  Operands operands(arena, dtype);
  row.bind(operands);
  // Whole cache lines, as the next set begins at one.
  return {(arena.peak() + Arena::alignment - 1) / Arena::alignment * Arena::alignment, operands.moved()};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Milliseconds between two places on a stream.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {
    BLOCKTRAIN_CUDA(cudaEventCreateWithFlags(&begin_, cudaEventDefault));
    BLOCKTRAIN_CUDA(cudaEventCreateWithFlags(&end_, cudaEventDefault));
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  template <class F>
  double time(const F& work) {
    BLOCKTRAIN_CUDA(cudaEventRecord(begin_, stream_));
    work();
    BLOCKTRAIN_CUDA(cudaEventRecord(end_, stream_));
    BLOCKTRAIN_CUDA(cudaEventSynchronize(end_));
    float ms = 0;
    BLOCKTRAIN_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
    return static_cast<double>(ms) * 1e-3;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// Numbers between 0.5 and 1.5 in every operand, each index another one, states as a step has them.
void fill(Device& device, const Operands& operands) {
  constexpr std::size_t bytes = std::size_t{4} << 20;
  static std::map<DType, std::vector<std::byte>> patterns;
  for (const DType type : {DType::float32, DType::bfloat16, DType::int32}) {
    std::vector<std::byte>& p = patterns[type];
    if (!p.empty()) continue;
    p.resize(bytes);
    for (std::size_t i = 0; i < bytes / size_of(type); ++i) {
      const float value = 0.5f + static_cast<float>(i * 2654435761u % 65536) / 65536;
      const std::uint16_t half = kernels::bfloat16_bits(value);
      const auto place = static_cast<std::int32_t>(i);
      const void* const from = type == DType::float32    ? static_cast<const void*>(&value)
                               : type == DType::bfloat16 ? static_cast<const void*>(&half)
                                                         : &place;
      std::memcpy(p.data() + i * size_of(type), from, size_of(type));
    }
  }
  for (const Tensor& t : operands.all()) {
    for (std::size_t at = 0; at < t.bytes(); at += bytes)
      device.upload(static_cast<std::byte*>(t.data) + at, patterns[t.dtype].data(), std::min(bytes, t.bytes() - at));
  }
  StepState state;
  state.learning_rate = 1e-9f;
  for (const Tensor& t : operands.states()) device.upload(t.data, &state, sizeof(state));
  device.ops().synchronize();
}

struct Settings {
  int repetitions = 25;
  double rotated_mb = 256;  ///< of the operands of all calls of a graph; an H200's L2 has 60
  std::size_t copy_mb = 256;
};

/// Seconds and GB/s of one call; `served` false: neither.
struct Timed {
  bool served = false;
  double seconds = 0, rate = 0, copy_rate = 0, share = 0;
  int sets = 0;
};

Timed time_row(Device& device, Libraries& libraries, const Row& row, DType dtype, const Settings& settings,
               const Arena& copied) {
  const Demand demand = demand_of(row, dtype);
  Timed timed;
  timed.sets = static_cast<int>(std::clamp(
      1e6 * settings.rotated_mb / static_cast<double>(std::max<std::size_t>(demand.arena_bytes, 1)) + 1, 2.0, 1000.0));
  Arena arena = device.arena("operands", demand.arena_bytes * static_cast<std::size_t>(timed.sets));
  std::vector<Call> calls;
  for (int i = 0; i < timed.sets; ++i) {
    Operands operands(arena, dtype);
    calls.push_back(row.bind(operands));
    fill(device, operands);
  }
  timed.served = calls.front()(device.ops(), libraries);
  device.ops().synchronize();
  if (!timed.served) return timed;
  auto work = [&] {
    for (const Call& call : calls) call(device.ops(), libraries);
  };
  const std::unique_ptr<kernels::Graph> graph = device.make_graph();
  for (int i = 0; i < 3; ++i) device.launch(*graph, work);
  device.ops().synchronize();

  const std::size_t half = copied.capacity() / 2;
  const auto copy = [&] {
    for (int i = 0; i < 4; ++i) {
      BLOCKTRAIN_CUDA(
          cudaMemcpyAsync(copied.data(), copied.data() + half, half, cudaMemcpyDeviceToDevice, libraries.stream));
    }
  };
  Stopwatch watch(libraries.stream);
  watch.time(copy);
  std::vector<double> seconds, copies, shares;
  for (int r = 0; r < settings.repetitions; ++r) {
    copies.push_back(8 * static_cast<double>(half) / watch.time(copy));
    seconds.push_back(watch.time([&] { device.launch(*graph, work); }) / timed.sets);
    shares.push_back(demand.moved / seconds.back() / copies.back());
  }
  timed.seconds = median(seconds);
  timed.copy_rate = median(copies);
  timed.rate = (row.flops > 0 ? row.flops : demand.moved) / timed.seconds;
  timed.share = median(shares);
  return timed;
}

struct Options {
  std::vector<std::string> shapes{"dit-l/2", "dit-xl/2"}, dtypes{"bfloat16", "float32"}, only;
  std::int64_t batch = 128;
  Settings settings;
  int proposals = 1, workspace_mib = 32;
  bool list = false, json = false;
};

std::vector<Row> all_rows(const Options& o, const Network& n) {
  std::vector<Row> rows = rows_of(n);
  for (Row& row : product_rows(n, o.proposals)) rows.push_back(std::move(row));
  return rows;
}

bool chosen(const Options& o, const Row& row, DType dtype) {
  if (row.bfloat16_only && dtype != DType::bfloat16) return false;
  return o.only.empty() || std::any_of(o.only.begin(), o.only.end(), [&](const std::string& word) {
           return row.name.find(word) != std::string::npos;
         });
}

void list(const Options& o, const Network& n) {
  for (const std::string& type : o.dtypes) {
    const DType dtype = type == "bfloat16" ? DType::bfloat16 : DType::float32;
    for (const Row& row : all_rows(o, n)) {
      if (!chosen(o, row, dtype)) continue;
      const ordered_json j{{"shape", n.name},
                           {"dtype", type},
                           {"op", row.name},
                           {"bytes", demand_of(row, dtype).moved},
                           {"flops", row.flops}};
      if (o.json) {
        std::printf("%s\n", j.dump().c_str());
      } else {
        std::printf("%-10s %-9s %-84s %14.0f bytes %16.0f FLOPs\n", n.name, type.c_str(), row.name.c_str(),
                    j["bytes"].get<double>(), row.flops);
      }
    }
  }
}

void measure(const Options& o, const Network& n, Device& device, DType dtype) {
  Libraries libraries;
  libraries.stream = static_cast<cudaStream_t>(device.stream());
  libraries.workspace_bytes = static_cast<std::size_t>(o.workspace_mib) << 20;
  const Arena copied = device.arena("copied", 2 * o.settings.copy_mb << 20);
  if (!o.json) {
    std::printf("\n%s, %s, batch %lld, on %s\n%-84s %10s %12s %14s %14s %8s\n", n.name, name_of(dtype).data(),
                static_cast<long long>(n.batch), device.facts().name.c_str(), "op", "us", "MB", "rate", "copy GB/s",
                "share");
  }
  for (const Row& row : all_rows(o, n)) {
    if (!chosen(o, row, dtype)) continue;
    const Timed t = time_row(device, libraries, row, dtype, o.settings, copied);
    const double moved = demand_of(row, dtype).moved;
    if (o.json) {
      ordered_json j{{"shape", n.name},
                     {"dtype", name_of(dtype)},
                     {"op", row.name},
                     {"batch", n.batch},
                     {"device", device.facts().name}};
      if (t.served) {
        j.update({{"seconds", t.seconds},
                  {"bytes", moved},
                  {"flops", row.flops},
                  {row.flops > 0 ? "flops_per_second" : "bytes_per_second", t.rate},
                  {"copy_bytes_per_second", t.copy_rate},
                  {"share_of_copy", t.share},
                  {"calls_in_graph", t.sets}});
      } else {
        j["not_served"] = true;
      }
      std::printf("%s\n", j.dump().c_str());
    } else if (!t.served) {
      std::printf("%-84s not served here\n", row.name.c_str());
    } else {
      std::printf("%-84s %10.2f %12.2f %9.1f %s %14.0f %7.0f%%\n", row.name.c_str(), 1e6 * t.seconds, 1e-6 * moved,
                  t.rate * (row.flops > 0 ? 1e-12 : 1e-9), row.flops > 0 ? "TF/s" : "GB/s", 1e-9 * t.copy_rate,
                  100 * t.share);
    }
    std::fflush(stdout);
  }
}

int run(int argc, char** argv) {
  Options o;
  CLI::App app("Times the GPU's ops that memory bounds, attention and matrix products at the shapes of two networks.");
  app.add_option("--shapes", o.shapes)->check(CLI::IsMember({"dit-l/2", "dit-xl/2", "tiny"}));
  app.add_option("--dtypes", o.dtypes)->check(CLI::IsMember({"bfloat16", "float32"}));
  app.add_option("--ops", o.only, "Only ops with one of these words in their name");
  app.add_option("--proposals", o.proposals, "Times each matrix product by so many of cuBLASLt's proposals")
      ->check(CLI::Range(0, 64));
  app.add_option("--workspace-mib", o.workspace_mib, "What those may use of device memory; ops have 32 MiB")
      ->check(CLI::Range(1, 4096));
  app.add_option("--batch", o.batch, "Images")->check(CLI::PositiveNumber);
  app.add_option("--repetitions", o.settings.repetitions, "Graphs of calls that the median is taken of")
      ->check(CLI::PositiveNumber);
  app.add_option("--rotated-mb", o.settings.rotated_mb, "Operands of all calls of a graph");
  app.add_option("--copy-mb", o.settings.copy_mb)->check(CLI::PositiveNumber);
  app.add_flag("--list", o.list, "Only say what would be timed; needs no GPU");
  app.add_flag("--json", o.json, "One object a line");
  CLI11_PARSE(app, argc, argv);
  std::vector<Network> networks;
  for (const std::string& shape : o.shapes) {
    networks.push_back(shape == "dit-l/2"    ? Network{"dit-l/2", 1024, 16, 6}
                       : shape == "dit-xl/2" ? Network{"dit-xl/2", 1152, 16, 7}
                                             : Network{"tiny", 64, 4, 1, 4, 16, 4, 8, 2, 10});
    networks.back().batch = std::min(o.batch, networks.back().classes);
  }
  for (const Network& n : networks) {
    if (o.list) {
      list(o, n);
      continue;
    }
    for (const std::string& type : o.dtypes) {
      const DType dtype = type == "bfloat16" ? DType::bfloat16 : DType::float32;
      const std::unique_ptr<Device> device = kernels::make_cuda_device(0, dtype, true);
      measure(o, n, *device, dtype);
    }
  }
  return 0;
}

}  // namespace
}  // namespace blocktrain::bench

int main(int argc, char** argv) {
  try {
    return blocktrain::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_kernels_cuda: %s\n", e.what());
    return 1;
  }
}
