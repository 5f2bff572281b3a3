// Why the CPU ops have their own matrix products: the same products by kernels/cpu, OpenBLAS and oneDNN, at the shapes
// of a training step of `dit`, with the memory allocations of a call (the training thread must make none after its
// first step). Usage: bench_gemm_libraries [--threads n] [--seconds s]
#include <cblas.h>
#include <dnnl.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/ops.hpp"

namespace {
std::atomic<long> allocations{0};
}

// glibc lets a program put its own in front of these; the libraries' calls come here too.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  ++allocations;
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}

namespace blocktrain::bench {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

struct Measured {
  double gflops, allocations;
};

/// Processor time of the whole program: unlike the clock on the wall it leaves out what other programs take.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Median rate of `run` per thread, and its allocations.
Measured measure(double budget, double flops, const std::function<void()>& run) {
  run();
  run();
  std::vector<double> times;
  times.reserve(1 << 16);
  const double start = processor_seconds();
  const long before = allocations;
  while (times.size() < 5 || (processor_seconds() - start < budget && times.size() < times.capacity())) {
    const double begin = processor_seconds();
    run();
    times.push_back(processor_seconds() - begin);
  }
  const double each = static_cast<double>(allocations - before) / static_cast<double>(times.size());
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return {flops / times[times.size() / 2] * 1e-9, each};
}

/// c[m,n] = op(a) op(b), both as stored in `kernels`: transposed or not.
struct Product {
  const char* name;
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};

}  // namespace

int run(int argc, char** argv) {
  CLI::App app("Compares matrix products of kernels/cpu, OpenBLAS and oneDNN (float32).");
  int threads = 1;
  double seconds = 0.5;
  app.add_option("--threads", threads, "threads of each library")->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds, "time spent on each entry");
  CLI11_PARSE(app, argc, argv);

  const auto ops = kernels::make_cpu_ops(threads);
  openblas_set_num_threads(threads);
  omp_set_num_threads(threads);
  std::vector<Product> products;
  struct Layer {
    std::int64_t rows, in, out;
  };
  for (const Layer l : {Layer{8192, 384, 1152}, Layer{8192, 384, 384}, Layer{8192, 384, 1536}, Layer{8192, 1536, 384},
                        Layer{2048, 64, 192}, Layer{2048, 64, 64}, Layer{2048, 64, 256}, Layer{2048, 256, 64}}) {
    products.push_back({"forward", l.rows, l.out, l.in, false, true});
    products.push_back({"gradient of input", l.rows, l.in, l.out, false, false});
    products.push_back({"gradient of weight", l.out, l.in, l.rows, true, false});
  }
  constexpr std::int64_t largest = 8192 * 1536;
  Arena arena = Arena::host("benchmark", 3 * largest * sizeof(float));
  const Tensor memory[3] = {arena.allocate(DType::float32, {largest}), arena.allocate(DType::float32, {largest}),
                            arena.allocate(DType::float32, {largest})};
  for (int i = 0; i < 2; ++i) {
    ops->random_normal(memory[i].reshaped({1, largest}), {1, kernels::Purpose::test, static_cast<std::uint32_t>(i)}, 0,
                       0);
  }
  std::printf(
      "%d thread(s): GF/s per thread of processor time (allocations per call)\n%-20s %5s %5s %5s %16s %16s %16s\n",
      threads, "product", "M", "N", "K", "kernels/cpu", "OpenBLAS", "oneDNN");
  for (const Product& p : products) {
    const auto view = [](const Tensor& t, std::int64_t rows, std::int64_t columns) {
      return Tensor(t.data, DType::float32, {rows, columns});
    };
    const Tensor a = p.transpose_a ? view(memory[0], p.k, p.m) : view(memory[0], p.m, p.k);
    const Tensor b = p.transpose_b ? view(memory[1], p.n, p.k) : view(memory[1], p.k, p.n);
    const Tensor c = view(memory[2], p.m, p.n);
    const double flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
    const Measured own = measure(seconds, flops, [&] { ops->matmul(c, a, p.transpose_a, b, p.transpose_b, false); });
    const Measured blas = measure(seconds, flops, [&] {
      cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans, p.transpose_b ? CblasTrans : CblasNoTrans,
                  static_cast<blasint>(p.m), static_cast<blasint>(p.n), static_cast<blasint>(p.k), 1.0f, a.as<float>(),
                  static_cast<blasint>(a.row_stride), b.as<float>(), static_cast<blasint>(b.row_stride), 0.0f,
                  c.as<float>(), static_cast<blasint>(c.row_stride));
    });
    bool failed = false;
    const Measured dnnl = measure(seconds, flops, [&] {
      failed |=
          dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1.0f, a.as<float>(),
                     a.row_stride, b.as<float>(), b.row_stride, 0.0f, c.as<float>(), c.row_stride) != dnnl_success;
    });
    if (failed) {
      std::fprintf(stderr, "dnnl_sgemm reported an error\n");
      return 1;
    }
    std::printf("%-20s %5lld %5lld %5lld %8.1f (%5.1f) %8.1f (%5.1f) %8.1f (%5.1f)\n", p.name,
                static_cast<long long>(p.m), static_cast<long long>(p.n), static_cast<long long>(p.k), own.gflops,
                own.allocations, blas.gflops, blas.allocations, dnnl.gflops, dnnl.allocations);
  }
  return 0;
}

}  // namespace blocktrain::bench

int main(int argc, char** argv) { return blocktrain::bench::run(argc, argv); }
