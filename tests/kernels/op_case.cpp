#include "tests/kernels/op_case.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "tests/kernels/cuda_case.hpp"

namespace blocktrain::kernels::testing {
namespace {

/// Takes the largest |got - expected| of `name`, relative to the largest |expected|, into `worst` and `where`.
void compare(double& worst, std::string& where, const std::string& name, const std::vector<double>& expected,
             const std::vector<double>& got) {
  double scale = 0, difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isinf(expected[i]) && got[i] == expected[i]) continue;  // the sum of nothing, by its logarithm
    scale = std::max(scale, std::abs(expected[i]));
    const double d = std::abs(expected[i] - got[i]);
    difference = d <= difference ? difference : d;  // keeps a NaN
    if (std::isnan(d)) break;
  }
  double error = scale > 0 ? difference / scale : difference;
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  if (error >= worst) {
    worst = error;
    where = name;
  }
}

/// Calls the CUDA ops twice and takes into `result` whether they left the same bits and damaged nothing.
void call_twice(Ops& gpu, const Call& call, Operands& first, Operands& second, Parity& result) {
  call(gpu, first);
  call(gpu, second);
  gpu.synchronize();
  result.on_gpu = true;
  result.damage += first.damage() + second.damage();
  for (const std::string& name : first.results()) {
    result.same_bits = result.same_bits && first.bytes(name) == second.bytes(name);
  }
}

}  // namespace

Parity parity(const Call& call, bool bfloat16) {
  const auto reference = make_reference_ops();
  Operands truth(reference->dtype());
  call(*reference, truth);

  const auto one = make_cpu_ops(1);
  const auto three = make_cpu_ops(3);
  Operands first(one->dtype()), threaded(one->dtype()), again(one->dtype());
  call(*one, first);
  one->synchronize();
  call(*three, threaded);
  call(*three, again);
  three->synchronize();

  Parity result;
  result.damage = truth.damage() + first.damage() + threaded.damage() + again.damage();
  BLOCKTRAIN_EXPECTS(!truth.results().empty() && truth.results() == first.results());
  for (const std::string& name : truth.results()) {
    compare(result.error, result.where, name, truth.read(name), first.read(name));
    result.same_bits =
        result.same_bits && first.bytes(name) == threaded.bytes(name) && threaded.bytes(name) == again.bytes(name);
  }
  if (const auto gpu = cuda_ops(DType::float32)) {
    Operands there(DType::float32, Operands::Memory::device), twice(DType::float32, Operands::Memory::device);
    call_twice(*gpu, call, there, twice, result);
    for (const std::string& name : truth.results()) {
      compare(result.error, result.where, name + " on the GPU", truth.read(name), there.read(name));
    }
  }
  if (!bfloat16) return result;
  if (const auto gpu = cuda_ops(DType::bfloat16)) {
    Operands rounded(reference->dtype(), Operands::Memory::host, true);
    call(*reference, rounded);
    Operands there(DType::bfloat16, Operands::Memory::device, true);
    Operands twice(DType::bfloat16, Operands::Memory::device, true);
    call_twice(*gpu, call, there, twice, result);
    for (const std::string& name : rounded.results()) {
      const bool precise = there.is_precise(name);
      compare(precise ? result.precise_error : result.stored_error,
              precise ? result.precise_where : result.stored_where, name, rounded.read(name), there.read(name));
    }
  }
  return result;
}

void check_parity(const std::string& what, double tolerance, const Call& call,
                  const std::optional<BFloat16Tolerance>& bfloat16) {
  const Parity p = parity(call, bfloat16.has_value());
  const auto within = [&](const std::string& type, const std::string& where, double error, double accepted) {
    BOOST_TEST(error <= accepted, what << type << ": '" << where << "' is off by " << error
                                       << " of its largest magnitude; accepted: " << accepted);
    BOOST_TEST_MESSAGE(what << type << ": error " << error << " of " << accepted << " (" << where << ")");
  };
  within("", p.where, p.error, tolerance);
  if (bfloat16.has_value() && p.on_gpu) {
    within(" in bfloat16, stored so", p.stored_where, p.stored_error, bfloat16->stored);
    within(" in bfloat16, precise", p.precise_where, p.precise_error, bfloat16->precise);
  }
  BOOST_TEST(p.same_bits, what << ": other bits on 3 threads than on 1, or in a second call, there or on the GPU");
  BOOST_TEST(p.damage.empty(), what << ": " << p.damage);
}

double gradient_error(const GradientCase& c) {
  const auto ops = make_reference_ops();
  Operands o(ops->dtype());
  c.forward(*ops, o);
  c.backward(*ops, o);
  const std::vector<double> cotangent = o.read(c.cotangent);
  const auto objective = [&] {
    c.forward(*ops, o);
    const std::vector<double> out = o.read(c.output);
    BLOCKTRAIN_EXPECTS(out.size() == cotangent.size());
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * cotangent[i];
    return sum;
  };
  double worst = 0;
  for (const auto& [input, gradient] : c.gradients) {
    const std::vector<double> start = o.read(input), analytic = o.read(gradient);
    BLOCKTRAIN_EXPECTS(start.size() == analytic.size());
    double scale = 0, difference = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      const auto element = static_cast<std::int64_t>(i);
      constexpr double h = 1e-5;
      o.write(input, element, start[i] + h);
      const double above = objective();
      o.write(input, element, start[i] - h);
      const double below = objective();
      o.write(input, element, start[i]);
      const double d = std::abs((above - below) / (2 * h) - analytic[i]);
      if (std::isnan(d)) return std::numeric_limits<double>::infinity();
      difference = std::max(difference, d);
      scale = std::max(scale, std::abs(analytic[i]));
    }
    BOOST_TEST(scale > 0, c.what << ": the gradient " << gradient << " is all zero, which shows nothing");
    worst = std::max(worst, difference / scale);
  }
  return worst;
}

void check_gradient(const GradientCase& c) {
  const double error = gradient_error(c);
  BOOST_TEST(error <= 1e-6, c.what << ": gradients differ from central differences by " << error);
}

void for_each_implementation(const Call& call) {
  const auto run = [&](const std::unique_ptr<Ops>& ops, Operands::Memory memory) {
    Operands o(ops->dtype(), memory);
    call(*ops, o);
    BOOST_TEST(o.damage().empty(), ops->name() << ": " << o.damage());
  };
  run(make_reference_ops(), Operands::Memory::host);
  run(make_cpu_ops(2), Operands::Memory::host);
  if (auto gpu = cuda_ops(DType::float32)) run(std::move(gpu), Operands::Memory::device);
}

void check_values(const Ops& ops, const Operands& operands, const std::string& name,
                  const std::vector<double>& expected, double tolerance) {
  const std::vector<double> got = operands.read(name);
  BOOST_REQUIRE_EQUAL(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    BOOST_TEST(std::abs(got[i] - expected[i]) <= tolerance,
               ops.name() << ": " << name << "[" << i << "] is " << got[i] << ", expected " << expected[i]);
  }
}

double kolmogorov_smirnov(std::vector<double> values, const std::function<double(double)>& cdf) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double p = cdf(values[i]);
    distance = std::max({distance, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return distance * std::sqrt(n);
}

double normal_cdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

}  // namespace blocktrain::kernels::testing
