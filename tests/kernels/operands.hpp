#pragma once
/// The named tensors of an op's test, in the memory and the type of one implementation.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/ops.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

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
  enum class Memory { host, device };  ///< device: a GPU's, and values are copied there and back
  /// With `rounded`, values start as bfloat16 has them, except those of precise operands.
  explicit Operands(DType floating, Memory memory = Memory::host, bool rounded = false);
  /// For a call of `ops`: in their type, where they compute.
  explicit Operands(const Ops& ops);
  ~Operands();
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  /// What the op may only read. `row_stride` > row length makes a strided view whose gaps are guarded.
  Tensor input(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  /// What the op has to overwrite: NaN before the call, compared after it.
  Tensor output(const std::string& name, Dims dims, std::int64_t row_stride = 0);
  /// What the op adds into or updates in place: compared after the call.
  Tensor changed(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  /// The same for what is not rounded to bfloat16 where the op computes in it (kernels::precise).
  Tensor precise_input(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  Tensor precise_output(const std::string& name, Dims dims, std::int64_t row_stride = 0);
  Tensor precise_changed(const std::string& name, Dims dims, const Fill& fill = normal(), std::int64_t row_stride = 0);
  /// int32 inputs in [0, bound), or the listed ones.
  Tensor labels(const std::string& name, std::int64_t count, std::int32_t bound);
  Tensor labels(const std::string& name, std::vector<std::int32_t> values);
  Tensor label_output(const std::string& name, std::int64_t count);
  /// A copy of `interval` where the tensors lie.
  const SigmaInterval* interval(const SigmaInterval& interval);
  /// A number that the op left elsewhere than in a tensor, compared like one.
  void record(const std::string& name, double value);

  /// Values of a tensor or record, gaps left out.
  std::vector<double> read(const std::string& name) const;
  void write(const std::string& name, std::int64_t element, double value);
  /// Names of everything that is compared.
  std::vector<std::string> results() const;
  bool is_precise(const std::string& name) const { return precise_.contains(name); }
  /// What went wrong besides the results: inputs written to, gaps between rows written to. Empty when nothing did.
  std::string damage() const;
  /// The bytes of a result.
  std::vector<std::byte> bytes(const std::string& name) const;

  StepState& state;

 private:
  struct Operand;
  Operand& get(const std::string& name, DType dtype, Dims dims, std::int64_t row_stride);
  Tensor input_of(DType dtype, const std::string& name, Dims dims, const Fill& fill, std::int64_t row_stride);
  Tensor output_of(DType dtype, const std::string& name, Dims dims, std::int64_t row_stride);
  Tensor changed_of(DType dtype, const std::string& name, Dims dims, const Fill& fill, std::int64_t row_stride);
  void fill(Operand& operand, const std::string& name, const Fill& fill) const;
  const Operand& find(const std::string& name) const;
  DType floating_;
  Memory memory_;
  bool rounded_;
  std::set<std::string> precise_;
  std::map<std::string, std::unique_ptr<Operand>> operands_;
};

}  // namespace blocktrain::kernels::testing
