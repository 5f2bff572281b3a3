// Median time of every CPU op that a training step is made of, at two shapes of `dit`, with the rate it reaches and
// its share of what this machine can do: the peak of the arithmetic units, or the bandwidth of its memory, both
// measured here. Usage: bench_kernels [--threads n]... [--seconds s]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "bench/machine_peak.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::bench {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Ops;
using kernels::Tensor;

/// A transformer as the ops see it.
struct Network {
  const char* name;
  std::int64_t batch, tokens, width, heads, parameters;
};

/// One row of the table: what it computes, and how much of it.
struct Row {
  std::string name;
  double flops, bytes;  ///< of one call; 0: not the unit to judge it by
  std::function<void(Ops&)> run;
};

double median_seconds(double budget, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  run();
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < 5 || seconds(Clock::now() - start) < budget) {
    const auto before = Clock::now();
    run();
    times.push_back(seconds(Clock::now() - before));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

/// The tensors of one layer, filled with normal numbers.
class Layer {
 public:
  Layer(const Network& n, Ops& ops) : arena_(Arena::host("benchmark", bytes(n))) {
    bind(arena_, n);
    std::uint32_t stream = 0;
    for (Tensor* t :
         {&x, &h, &d, &wide, &dwide, &qkv, &dqkv, &condition, &dcondition, &weight, &bias, &dweight, &dbias, &p, &g}) {
      ops.random_normal(t->reshaped({1, t->size()}), {1, kernels::Purpose::test, stream++}, 0, 0);
    }
  }
  Tensor x, h, d, wide, dwide, qkv, dqkv, mean, rstd, log_sum_exp, condition, dcondition, weight, bias, dweight, dbias,
      p, m, v, g, angles, level;
  Tensor tokens, noisy, places, rows, labels;  // int32

 private:
  static std::size_t bytes(const Network& n) {
    Arena arena = Arena::measuring("benchmark");
    Layer layer;
    layer.bind(arena, n);
    return arena.peak();
  }
  Layer() : arena_(Arena::measuring("none")) {}
  void bind(Arena& arena, const Network& n) {
    const auto take = [&](std::initializer_list<std::int64_t> dims) { return arena.allocate(DType::float32, dims); };
    for (Tensor* t : {&x, &h, &d}) *t = take({n.batch, n.tokens, n.width});
    for (Tensor* t : {&wide, &dwide}) *t = take({n.batch * n.tokens, 4 * n.width});
    for (Tensor* t : {&qkv, &dqkv}) *t = take({n.batch, n.tokens, 3 * n.width});
    for (Tensor* t : {&mean, &rstd}) *t = take({n.batch, n.tokens});
    for (Tensor* t : {&condition, &dcondition}) *t = take({n.batch, 6 * n.width});
    for (Tensor* t : {&weight, &dweight}) *t = take({4 * n.width * n.width});
    for (Tensor* t : {&bias, &dbias}) *t = take({4 * n.width});
    for (Tensor* t : {&p, &m, &v, &g}) *t = take({n.parameters});
    log_sum_exp = take({n.batch, n.heads, n.tokens});
    angles = take({n.tokens, n.width / n.heads});
    level = take({n.batch});
    for (Tensor* t : {&tokens, &noisy, &places}) *t = arena.allocate(DType::int32, {n.batch, n.tokens});
    for (Tensor* t : {&rows, &labels}) *t = arena.allocate(DType::int32, {n.batch * n.tokens});
  }

  Arena arena_;
};

kernels::AttentionForm among_themselves(const Network& n, const kernels::AttentionMask& mask = {}) {
  const int heads = static_cast<int>(n.heads);
  return {heads, heads, mask, false};
}

/// Half of the tokens are masked.
void ops_of_masks(std::vector<Row>& out, Layer& l, kernels::StepState& state, double rows) {
  constexpr std::int32_t mask = 256;
  const std::int64_t count = l.rows.size();
  out.push_back({"mask_tokens", 0, 8 * rows, [&l, &state](Ops& ops) {
                   ops.fill(l.level, 0.5);
                   ops.mask_tokens(l.noisy, l.tokens, l.level, mask, {1, kernels::Purpose::noise}, &state, 0);
                 }});
  out.push_back({"list_masked", 0, 18 * rows, [&l, count](Ops& ops) {
                   ops.list_masked(l.rows, l.labels, l.mean.reshaped({count}), l.places, l.noisy, l.tokens, l.level,
                                   mask);
                 }});
  out.push_back({"sum_listed", 0, 8 * rows, [&l, count](Ops& ops) {
                   ops.sum_listed(l.level, l.rstd.reshaped({count}), l.mean.reshaped({count}), l.places);
                 }});
}

std::vector<Row> rows_of(const Network& n, Layer& l, kernels::StepState& state) {
  const std::int64_t c = n.width, r = n.batch * n.tokens;
  const double rows = static_cast<double>(r), numbers = rows * static_cast<double>(c);
  const auto in = [r, c](const Tensor& t, std::int64_t times) { return t.reshaped({r, times * c}); };
  const Tensor x = in(l.x, 1), h = in(l.h, 1), qkv = in(l.qkv, 3);
  const auto weight = [c](const Tensor& t, std::int64_t to, std::int64_t from) {
    return Tensor(t.data, DType::float32, {to * c, from * c});
  };
  const auto part = [c](const Tensor& t, int i) { return t.columns(i * c, (i + 1) * c); };
  std::vector<Row> rows_out;
  const auto linear = [&](const char* name, Tensor out, Tensor from, std::int64_t to_times, std::int64_t from_times) {
    const double flops = 2 * rows * static_cast<double>(to_times * from_times * c * c);
    const Tensor w = weight(l.weight, to_times, from_times), dw = weight(l.dweight, to_times, from_times);
    const Tensor b(l.bias.data, DType::float32, {to_times * c}), db(l.dbias.data, DType::float32, {to_times * c});
    rows_out.push_back(
        {std::string(name) + " forward", flops, 0, [=](Ops& ops) { ops.linear_forward(out, from, w, b); }});
    const Tensor dx = from_times == 4 ? l.dwide : in(l.d, 1);
    rows_out.push_back({std::string(name) + " backward", 2 * flops, 0, [=](Ops& ops) {
                          ops.linear_backward(dx, dw, db, out, from, w, false, kernels::GradientWrite::add);
                        }});
  };
  linear("linear C -> 3C", qkv, x, 3, 1);
  linear("linear C -> C", h, x, 1, 1);
  linear("linear C -> 4C", l.wide, x, 4, 1);
  linear("linear 4C -> C", h, l.wide, 1, 4);
  const double attention = 4 * rows * static_cast<double>(n.tokens * c);
  rows_out.push_back({"attention forward", attention, 0, [&l, &n](Ops& ops) {
                        ops.attention_forward(l.h, l.log_sum_exp, packed_part(l.qkv, 0), packed_part(l.qkv, 1),
                                              packed_part(l.qkv, 2), among_themselves(n));
                      }});
  rows_out.push_back({"attention backward", 2.5 * attention, 0, [&l, &n](Ops& ops) {
                        const auto replace = kernels::GradientWrite::replace;
                        ops.attention_backward(packed_part(l.dqkv, 0), packed_part(l.dqkv, 1), packed_part(l.dqkv, 2),
                                               l.d, l.h, l.log_sum_exp, packed_part(l.qkv, 0), packed_part(l.qkv, 1),
                                               packed_part(l.qkv, 2), among_themselves(n), replace, replace);
                      }});
  // Half of the keys are seen.
  const kernels::AttentionForm causal = among_themselves(n, kernels::AttentionMask::causal());
  rows_out.push_back({"attention forward, causal", attention / 2, 0, [&l, causal](Ops& ops) {
                        ops.attention_forward(l.h, l.log_sum_exp, packed_part(l.qkv, 0), packed_part(l.qkv, 1),
                                              packed_part(l.qkv, 2), causal);
                      }});
  rows_out.push_back({"attention backward, causal", 1.25 * attention, 0, [&l, causal](Ops& ops) {
                        const auto replace = kernels::GradientWrite::replace;
                        ops.attention_backward(packed_part(l.dqkv, 0), packed_part(l.dqkv, 1), packed_part(l.dqkv, 2),
                                               l.d, l.h, l.log_sum_exp, packed_part(l.qkv, 0), packed_part(l.qkv, 1),
                                               packed_part(l.qkv, 2), causal, replace, replace);
                      }});
  const double pass = 4 * numbers;  // bytes of one reading or writing of [R,C]
  rows_out.push_back({"rotary", 0, 4 * pass, [&l, qkv, c](Ops& ops) {
                        const Tensor qk = qkv.columns(0, 2 * c);
                        ops.rotary(qk, qk, l.angles, false);
                      }});
  rows_out.push_back({"norm_modulate forward", 0, 2 * pass, [&l, part](Ops& ops) {
                        ops.norm_modulate_forward(l.h, l.mean, l.rstd, l.x, part(l.condition, 0), part(l.condition, 1),
                                                  1e-6);
                      }});
  rows_out.push_back({"norm_modulate backward", 0, 4 * pass, [&l, part](Ops& ops) {
                        ops.norm_modulate_backward(l.d, part(l.dcondition, 0), part(l.dcondition, 1), l.h, l.x, l.mean,
                                                   l.rstd, part(l.condition, 1));
                      }});
  rows_out.push_back({"gated_residual forward", 0, 3 * pass,
                      [&l, part](Ops& ops) { ops.gated_residual_forward(l.d, l.x, l.h, part(l.condition, 2)); }});
  rows_out.push_back({"gated_residual backward", 0, 3 * pass, [&l, part](Ops& ops) {
                        ops.gated_residual_backward(l.d, part(l.dcondition, 2), l.x, l.h, part(l.condition, 2));
                      }});
  rows_out.push_back({"gelu forward", 0, 8 * pass, [&l](Ops& ops) { ops.gelu_forward(l.dwide, l.wide); }});
  rows_out.push_back({"gelu backward", 0, 12 * pass, [&l](Ops& ops) { ops.gelu_backward(l.dwide, l.dwide, l.wide); }});
  const Tensor norms = l.mean.reshaped({r}), levels(l.rstd.data, DType::float32, {n.batch});
  rows_out.push_back({"softmax", 0, 2 * pass, [=](Ops& ops) { ops.softmax(h, x); }});
  rows_out.push_back({"normalise_rows", 0, 2 * pass, [=](Ops& ops) { ops.normalise_rows(h, norms, x); }});
  rows_out.push_back({"normalise_rows backward", 0, 4 * pass,
                      [=, d = in(l.d, 1)](Ops& ops) { ops.normalise_rows_backward(d, x, h, norms); }});
  rows_out.push_back({"scale_by_level", 0, 2 * pass, [&l, levels](Ops& ops) {
                        ops.scale_by_level(l.h, l.x, levels, kernels::LevelFactor::input, 0.5, false);
                      }});
  rows_out.push_back({"dropout", 0, 2 * pass, [&l, &state](Ops& ops) {
                        ops.dropout(l.h, l.x, 0.1, {1, kernels::Purpose::dropout}, &state, 0);
                      }});
  ops_of_masks(rows_out, l, state, rows);
  rows_out.push_back({"add", 0, 3 * pass, [&l](Ops& ops) { ops.add(l.d, l.x); }});
  rows_out.push_back({"adamw", 0, 28 * static_cast<double>(n.parameters),
                      [&l, &state](Ops& ops) { ops.adamw(l.p, l.m, l.v, {}, l.g, &state, {}); }});
  return rows_out;
}

}  // namespace

int run(int argc, char** argv) {
  CLI::App app("Times the CPU ops at the shapes of two networks.");
  std::vector<int> threads{1, 2};
  double seconds = 0.3;
  app.add_option("--threads", threads, "numbers of threads to time");
  app.add_option("--seconds", seconds, "time spent on each entry of the table");
  CLI11_PARSE(app, argc, argv);

  std::vector<std::unique_ptr<Ops>> ops;
  std::vector<MachinePeak> peaks;
  for (const int t : threads) {
    ops.push_back(kernels::make_cpu_ops(t));
    peaks.push_back(measure_peak(t));
    std::printf("%d thread(s): peak %.1f GF/s, memory %.1f GB/s\n", t, peaks.back().gflops, peaks.back().gigabytes);
  }
  const Network networks[] = {
      {"width 384, 6 heads, 256 tokens, batch 32, 21.3M parameters", 32, 256, 384, 6, 21'300'000},
      {"width 64, 4 heads, 16 tokens, batch 128, 0.6M parameters", 128, 16, 64, 4, 600'000}};
  for (const Network& network : networks) {
    Layer layer(network, *ops.front());
    kernels::StepState state;
    state.learning_rate = 1e-9f;
    std::printf("\n%s\n%-26s", network.name, "op");
    for (const int t : threads) std::printf("  %d thr: ms      rate  of peak", t);
    std::printf("\n");
    for (const Row& row : rows_of(network, layer, state)) {
      std::printf("%-26s", row.name.c_str());
      for (std::size_t i = 0; i < threads.size(); ++i) {
        const double s = median_seconds(seconds, [&] { row.run(*ops[i]); });
        const double rate = (row.flops > 0 ? row.flops : row.bytes) / s * 1e-9;
        std::printf("  %9.4f %6.1f %s %5.0f%%", s * 1e3, rate, row.flops > 0 ? "GF/s" : "GB/s",
                    100 * rate / (row.flops > 0 ? peaks[i].gflops : peaks[i].gigabytes));
      }
      std::printf("\n");
    }
  }
  return 0;
}

}  // namespace blocktrain::bench

int main(int argc, char** argv) { return blocktrain::bench::run(argc, argv); }
