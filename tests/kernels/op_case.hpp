#pragma once
/// Harness of the op tests. One op call, written once against Operands, is run by every implementation from the same
/// float32 values; then it is compared with the float64 reference, across thread counts bit for bit, and, where an op
/// has a gradient, the reference itself is held against central finite differences.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/ops.hpp"

namespace blocktrain::kernels::testing {

using Dims = std::initializer_list<std::int64_t>;
/// Starting value of an element from its index and a standard normal number of its own.
using Fill = std::function<double(std::int64_t element, double normal)>;

/// offset + scale * N(0,1)
Fill normal(double scale = 1, double offset = 0);
/// Noise levels as training meets them: exp(-1.2 + 1.2 N(0,1)).
Fill noise_levels();
Fill constant(double value);
/// The listed values in order.
Fill list(std::vector<double> values);

/// The named tensors of one op call, in the floating type of one implementation. Asking again for a name gives the
/// same memory: inputs keep their values, outputs are poisoned again, changed tensors start over. An output or changed
/// tensor asked for as an input is what the op before left there.
class Operands {
 public:
  enum class Memory { host, managed };  ///< managed: reached by a GPU as well
  explicit Operands(DType floating, Memory memory = Memory::host);
  ~Operands();
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  /// What the op may only read. `row_stride` > row length makes a strided view whose gaps are guarded.
  Tensor input(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  /// What the op has to overwrite: NaN before the call, compared after it.
  Tensor output(const std::string& name, Dims dims, std::int64_t row_stride = 0);
  /// What the op adds into or updates in place: compared after the call.
  Tensor changed(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  /// int32 inputs in [0, bound), or the listed ones.
  Tensor labels(const std::string& name, std::int64_t count, std::int32_t bound);
  Tensor labels(const std::string& name, std::vector<std::int32_t> values);
  Tensor label_output(const std::string& name, std::int64_t count);
  /// A number that the op left elsewhere than in a tensor, compared like one.
  void record(const std::string& name, double value);

  /// Values of a tensor or record, gaps left out.
  std::vector<double> read(const std::string& name) const;
  void write(const std::string& name, std::int64_t element, double value);
  /// Names of everything that is compared.
  std::vector<std::string> results() const;
  /// What went wrong besides the results: inputs written to, gaps between rows written to. Empty when nothing did.
  std::string damage() const;
  /// The bytes of a result.
  std::vector<std::byte> bytes(const std::string& name) const;

  StepState& state;

 private:
  struct Operand;
  Operand& get(const std::string& name, DType dtype, Dims dims, std::int64_t row_stride);
  const Operand& find(const std::string& name) const;
  DType floating_;
  Memory memory_;
  std::map<std::string, std::unique_ptr<Operand>> operands_;
};

/// Declares operands and calls an op (or a few that belong together).
using Call = std::function<void(Ops&, Operands&)>;

/// Outcome of comparing an implementation with the reference.
struct Parity {
  double error = 0;       ///< largest |difference| / largest |reference value| over all results
  std::string where;      ///< result with that error
  bool same_bits = true;  ///< 1 thread, 3 threads and a repeated call agree bit for bit
  bool on_gpu = false;    ///< the CUDA ops were compared as well, and called twice
  std::string damage;     ///< see Operands::damage
};

/// Runs `call` on the reference, on the CPU ops with 1 and 3 threads, and in float32 on a GPU where there is one.
Parity parity(const Call& call);

/// Boost.Test checks on parity(): error <= tolerance (float32, relative to the largest magnitude of each result),
/// equal bits, nothing damaged.
void check_parity(const std::string& what, double tolerance, const Call& call);

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
