#pragma once
/// Harness of the op tests. One op call, written once against Operands, is run by every implementation from the same
/// float32 values; then it is compared with the float64 reference, across thread counts bit for bit, and, where an op
/// has a gradient, the reference itself is held against central finite differences.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/ops.hpp"
#include "tests/kernels/operands.hpp"

namespace blocktrain::kernels::testing {

/// Declares operands and calls an op (or a few that belong together).
using Call = std::function<void(Ops&, Operands&)>;

/// How far results in bfloat16 may be off, of the largest magnitude of each; the reference starts from the same rounded
/// values. A result stored in bfloat16 is off by up to 2^-8, 3.9e-3, for its rounding alone.
struct BFloat16Tolerance {
  double stored = 4e-3;   ///< of results in bfloat16
  double precise = 2e-6;  ///< of precise operands
};

/// Outcome of comparing an implementation with the reference.
struct Parity {
  double error = 0;       ///< largest |difference| / largest |reference value| over all results, in float32
  std::string where;      ///< result with that error
  bool same_bits = true;  ///< 1 thread, 3 threads and a repeated call agree bit for bit
  bool on_gpu = false;    ///< the CUDA ops were compared as well, and called twice
  std::string damage;     ///< see Operands::damage
  double stored_error = 0, precise_error = 0;  ///< as `error`, of the CUDA ops in bfloat16
  std::string stored_where, precise_where;
};

/// Runs `call` on the reference, on the CPU ops with 1 and 3 threads, and on a GPU where there is one: in float32, and
/// with `bfloat16` in that as well.
Parity parity(const Call& call, bool bfloat16 = false);

/// Boost.Test checks on parity(): error <= tolerance (float32, relative to the largest magnitude of each result),
/// equal bits, nothing damaged; the same in bfloat16 where its tolerance is given.
void check_parity(const std::string& what, double tolerance, const Call& call,
                  const std::optional<BFloat16Tolerance>& bfloat16 = {});

/// Compares gradients with central differences of sum(cotangent * output) in float64. `forward` computes `output`
/// from the first name of each pair; `backward` (called after it) computes the gradient, the second name, and
/// declares `cotangent`, the gradient of `output`.
struct GradientCase {
  std::string what;
  Call forward, backward;
  std::string output, cotangent;
  std::vector<std::pair<std::string, std::string>> gradients;
};
/// Largest difference over all gradients, relative to each gradient's largest magnitude.
double gradient_error(const GradientCase& c);
/// gradient_error <= 1e-6
void check_gradient(const GradientCase& c);

/// Runs `call` on the reference (float64) and on the CPU ops (float32, 2 threads): for cases worked by hand.
void for_each_implementation(const Call& call);
/// Every value of `name` within `tolerance` of what is expected.
void check_values(const Ops& ops, const Operands& operands, const std::string& name,
                  const std::vector<double>& expected, double tolerance = 1e-6);

/// Largest distance between the empirical distribution of `values` and `cdf`, times sqrt(number of values)
/// (Kolmogorov-Smirnov). Of values that follow `cdf`, one set in a thousand exceeds 1.95.
double kolmogorov_smirnov(std::vector<double> values, const std::function<double(double)>& cdf);
/// Distribution function of N(0,1).
double normal_cdf(double x);

}  // namespace blocktrain::kernels::testing
