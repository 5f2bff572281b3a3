#pragma once
/// The layers of a block: from the fields of a batch and a noisy target to the output F, and back. A network knows no
/// draw of noise, no loss and no file; what is drawn, lost and estimated is the objective's (objective.hpp), and
/// Block (block.hpp) drives both. Implementations stand in blocks/architectures/.
///
/// A micro-batch goes through it as begin(), forward() of consecutive ranges of samples, then in training, when the
/// objective has turned the output into its gradient, backward() of the same ranges and finish(). Long work in ranges
/// keeps scratch memory from growing with the batch; what is needed of the whole micro-batch at once (the
/// conditioning) is computed in begin() and finish().

#include <cstdint>
#include <string>

#include "blocks/batch.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/random.hpp"
#include "kernels/step_state.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// Where a block stands in the whole network.
struct BlockPlace {
  int index = 0;        ///< b, 0 has the highest noise
  int count = 1;        ///< B; 1 for an end-to-end network
  int first_layer = 0;  ///< index in the whole network
  int layers = 1;
};

/// "blocks.2": what the parameters that are private to a block begin with.
inline std::string block_name(const BlockPlace& place) { return "blocks." + std::to_string(place.index); }

/// What memory is for, and what is computed.
enum class Pass : std::uint8_t {
  training,   ///< activations are kept for a backward pass
  inference,  ///< forward alone, in far less memory
};

/// Whether a network is told what it is conditioned on; guidance compares the two.
enum class Condition : std::uint8_t { given, none };

/// What a network computes on: N samples, where the ops compute.
struct NetworkInput {
  Batch batch;            ///< of which it reads what it is conditioned on
  kernels::Tensor noisy;  ///< z [N, ...], as the objective makes it; empty without noise
  kernels::Tensor level;  ///< [N], or [N,K] for K chunks of a sample; empty without noise
  /// Samples of the global batch over which the levels were drawn; 0: they are any.
  std::int64_t of_samples = 0;
  Pass pass = Pass::inference;
  Condition condition = Condition::given;
  /// Keys all that is random in the network itself (dropout), together with the step; it sets the purpose.
  kernels::RandomKey key;
  const kernels::StepState* state = nullptr;  ///< null: nothing is random

  std::int64_t samples() const { return noisy.empty() ? batch.samples() : noisy.dim(0); }
  NetworkInput rows(Range range) const {
    NetworkInput part = *this;
    part.batch = batch.rows(range);
    part.noisy = rows_of(noisy, range);
    part.level = rows_of(level, range);
    return part;
  }
};

/// Floating-point operations per sample (a multiply-add counts two), matrix products and attention alone.
struct Flops {
  double forward = 0;
  double training = 0;  ///< forward and backward
};

/// Of those of a forward pass: products whose input has a gradient (`inner`) cost two more in the backward pass, those
/// at the edge of the network one more, and attention two and a half.
inline Flops flops_of(double inner, double edge, double attention) {
  return {inner + edge + attention, 3 * inner + 2 * edge + 3.5 * attention};
}

/// Registers its parameters in a ParameterLayout while it is made (parameters.hpp), and reads them wherever its block
/// binds them.
class Network {
 public:
  virtual ~Network() = default;

  /// Targets predicted per sample: SampleLayout::targets, unless the network itself cuts the target into pieces.
  virtual std::int64_t targets_per_sample() const = 0;
  /// Tokens of a sample in its layers, of targets and of what they are conditioned on.
  virtual std::int64_t rows_per_sample() const = 0;
  virtual Flops flops() const = 0;
  /// What training on `samples` samples computes a second time to save memory, over all of them; it comes on top of
  /// flops().training, which is the work of the network itself.
  virtual double recomputed_flops(std::int64_t) const { return 0; }
  /// Samples that run together where `samples` are one micro-batch; a function of shapes alone, so that results are.
  virtual std::int64_t samples_at_once(std::int64_t samples) const = 0;
  /// Whether it can compute without its condition, Condition::none.
  virtual bool has_condition() const { return false; }

  /// Takes all that micro-batches of up to `samples` samples need, samples_at_once(samples) of them in inference.
  /// Tables that do not change come first, so that networks that take turns on an arena find them in one place.
  virtual void bind(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples, Pass pass) = 0;
  /// Takes the output of `samples` samples.
  virtual kernels::Tensor allocate_output(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples) const = 0;

  /// Begins a micro-batch, whose tensors stay as they are until finish(); in inference until the last forward().
  virtual void begin(kernels::Ops& ops, const NetworkInput& input) = 0;
  /// out = F of samples [begin, end) of the micro-batch.
  virtual void forward(kernels::Ops& ops, const kernels::Tensor& out, Range range) = 0;
  /// Writes the gradients of the parameters from dout, the gradient of forward()'s out, and adds that of the noisy
  /// input into dnoisy where that is not empty. Ranges are those of forward() and come in their order.
  virtual void backward(kernels::Ops& ops, const kernels::Tensor& dout, const kernels::Tensor& dnoisy, Range range,
                        kernels::GradientWrite write) = 0;
  /// Writes the gradients of what begin() computed.
  virtual void finish(kernels::Ops& ops, kernels::GradientWrite write) = 0;

  /// What a relay sends on to the next block: features [N, ...] of the micro-batch, until the next begin(). Empty:
  /// none.
  virtual kernels::Tensor features() const { return {}; }
};

}  // namespace blocktrain::blocks
