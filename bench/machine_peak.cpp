#include "bench/machine_peak.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels/cpu/small_gemm.hpp"

namespace blocktrain::bench {
namespace {

using kernels::FloatVector;

double seconds_of(int threads, const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back([&work, t] { work(t); });
  work(0);
  for (std::thread& t : team) t.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Twelve chains of multiply-adds hide the latency of each other; returns something that depends on all of them.
float multiply_adds(long repeats) {
  FloatVector chain[12];
  for (int i = 0; i < 12; ++i) chain[i] = FloatVector{} + static_cast<float>(i);
  const FloatVector a = FloatVector{} + 0.999f, b = FloatVector{} + 1e-3f;
  for (long n = 0; n < repeats; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) chain[i] = chain[i] * a + b;
  }
  float sum = 0;
  for (int i = 0; i < 12; ++i) sum += chain[i][0];
  return sum;
}

}  // namespace

MachinePeak measure_peak(int threads) {
  MachinePeak peak{0, 0};
  std::vector<float> sink(static_cast<std::size_t>(threads));
  constexpr long repeats = 4'000'000;
  for (int run = 0; run < 8; ++run) {
    const double s = seconds_of(threads, [&](int t) { sink[static_cast<std::size_t>(t)] = multiply_adds(repeats); });
    peak.gflops =
        std::max(peak.gflops, 24.0 * kernels::vector_lanes * static_cast<double>(repeats) * threads / s * 1e-9);
  }
  constexpr std::size_t size = std::size_t{1} << 25;
  std::vector<float> a(size, 1), b(size, 2), c(size, 3);
  for (int run = 0; run < 8; ++run) {
    const double s = seconds_of(threads, [&](int t) {
      const std::size_t first = size / static_cast<std::size_t>(threads) * static_cast<std::size_t>(t);
      const std::size_t end = first + size / static_cast<std::size_t>(threads);
      for (std::size_t i = first; i < end; ++i) a[i] = b[i] + 0.5f * c[i];
    });
    peak.gigabytes = std::max(peak.gigabytes, 12.0 * static_cast<double>(size) / s * 1e-9);
  }
  return peak;
}

}  // namespace blocktrain::bench
