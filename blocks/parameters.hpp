#pragma once
/// The parameters of a block: named tensors in one flat vector, and their initial values. A parameter's value is keyed
/// by its name, and its name says its place in the whole network ("layers.5.mlp.input.weight"); so layer 5 starts
/// with the same values whichever block owns it. What is private to a block carries the block in its name
/// ("blocks.2.patch_embedding.weight"); in an end-to-end network that is blocks.0.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/ops.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// One named parameter tensor inside the flat vector of its block.
struct Parameter {
  std::string name;  ///< e.g. "layers.5.attention.qkv.weight": place in the whole network
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;  ///< first element in the flat vector; a multiple of 16
  std::int64_t size = 0;
  bool decays = false;  ///< weight decay applies (matrices; not biases or tables)
  /// All blocks have one of that name, which starts with the same values in all of them (method: section 3).
  bool shared = false;
  /// Initial value: uniform in [-bound, bound], or normal with this deviation; both 0: zeros.
  double uniform_bound = 0;
  double normal_deviation = 0;
};

/// Where the values and gradients of a block's parameters lie, by index; the block sets them whenever it is bound.
struct ParameterTensors {
  std::vector<kernels::Tensor> values, gradients;
};

/// A parameter as the layer sees that registered it.
class BoundParameter {
 public:
  BoundParameter() = default;
  BoundParameter(std::shared_ptr<const ParameterTensors> tensors, std::size_t index)
      : tensors_(std::move(tensors)), index_(index) {}
  const kernels::Tensor& value() const { return tensors_->values[index_]; }
  const kernels::Tensor& gradient() const { return tensors_->gradients[index_]; }

 private:
  std::shared_ptr<const ParameterTensors> tensors_;
  std::size_t index_ = 0;
};

/// The names of a network's parameters, each of which stands for random numbers by its hash alone.
class ParameterNames {
 public:
  /// Throws std::logic_error naming both when another name has the same hash, so that both would start with the same
  /// numbers, or when the name is there already.
  void add(const std::string& name);

 private:
  std::unordered_map<std::uint32_t, std::string> by_hash_;
};

/// Collects parameters and lays them out one after the other, each at a multiple of `alignment` elements.
class ParameterLayout {
 public:
  static constexpr std::int64_t alignment = 16;

  /// Each returns the new parameter. Names have to be unique, and their hashes, too (ParameterNames).
  /// A matrix [rows, columns], uniform with Xavier's bound sqrt(6 / (rows + columns)).
  BoundParameter add_xavier(const std::string& name, std::int64_t rows, std::int64_t columns);
  /// A matrix [rows, columns], normal with `deviation`; a table (of embeddings) does not decay.
  BoundParameter add_normal(const std::string& name, std::int64_t rows, std::int64_t columns, double deviation,
                            bool table);
  /// The same for a table that all blocks share.
  BoundParameter add_shared_table(const std::string& name, std::int64_t rows, std::int64_t columns, double deviation);
  /// All zeros; decays when it is a matrix.
  BoundParameter add_zeros(const std::string& name, std::vector<std::int64_t> shape);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Elements of the flat vector, padding included.
  std::int64_t elements() const { return elements_; }
  /// Where the parameters read and write: whoever binds them sets it.
  const std::shared_ptr<ParameterTensors>& tensors() const { return tensors_; }
  /// Hands the list over; the layout is empty afterwards.
  std::vector<Parameter> take();

 private:
  BoundParameter add(Parameter parameter);

  std::vector<Parameter> parameters_;
  std::shared_ptr<ParameterTensors> tensors_ = std::make_shared<ParameterTensors>();
  ParameterNames names_;
  std::int64_t elements_ = 0;
};

/// What of the flat vector belongs to no parameter, in order.
std::vector<kernels::ElementRange> padding_of(const std::vector<Parameter>& parameters, std::int64_t elements);

/// Where it does not decay, in order: parameters that do not, with the padding behind them, neighbours as one range.
std::vector<kernels::ElementRange> undecayed_of(const std::vector<Parameter>& parameters, std::int64_t elements);

/// The parameters that blocks share, as ranges of the flat vector, in order.
std::vector<kernels::ElementRange> shared_of(const std::vector<Parameter>& parameters);

/// The view of `parameter` (at most four dimensions) in the flat vector it belongs to; empty when `flat` is.
kernels::Tensor view_of(const kernels::Tensor& flat, const Parameter& parameter);

/// Sets `tensors`, values or gradients, to the views of all parameters in `flat`.
void bind_tensors(std::vector<kernels::Tensor>& tensors, const std::vector<Parameter>& parameters,
                  const kernels::Tensor& flat);

/// 32-bit FNV-1a hash of a name: the part of a random key that stands for it.
std::uint32_t name_hash(std::string_view name);

/// Writes initial values into `flat` (host memory, float32 or float64, at least as long as the layout), zeros into
/// the padding. Element e of a parameter comes from random_words({seed, Purpose::initialization}, name_hash(name), 0,
/// e / 4): uniform from word e % 4, normal as Ops::random_normal pairs them. Computed in double, rounded once.
void initialize(const kernels::Tensor& flat, const std::vector<Parameter>& parameters, std::uint64_t seed);

/// The same, with another seed for parameters that blocks share: the run's, where the first is the block's own.
void initialize(const kernels::Tensor& flat, const std::vector<Parameter>& parameters, std::uint64_t seed,
                std::uint64_t shared_seed);

}  // namespace blocktrain::blocks
