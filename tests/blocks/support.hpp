#pragma once
/// What the tests of the networks share: a block with its memory, tensors on the host, and access to numbers
/// whatever their type.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "blocks/architectures/dit.hpp"
#include "blocks/block.hpp"
#include "blocks/objectives/gaussian.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/tensor.hpp"
#include "tests/support/tensor_values.hpp"

namespace blocktrain::blocks::test {

/// Memory for a tensor of its own.
class HostTensor {
 public:
  HostTensor(kernels::DType dtype, std::initializer_list<std::int64_t> dims);
  HostTensor(kernels::DType dtype, std::initializer_list<std::int64_t> dims, const std::vector<double>& values);
  const kernels::Tensor& operator*() const { return tensor_; }

 private:
  kernels::Arena arena_;
  kernels::Tensor tensor_;
};

using kernels::testing::get;
using kernels::testing::set;
std::vector<double> values_of(const kernels::Tensor& t);

/// `count` numbers from N(0, deviation^2), keyed by `name`; rounded to float32, so that every type holds the same.
std::vector<double> normal_values(const std::string& name, std::int64_t count, double deviation);

/// What `config` says of a sample: "image" float32 [channels, height, width], "label" int32.
SampleLayout dit_layout(const DitConfig& config);

double norm(const std::vector<double>& v);
/// Norm of a - b over the norm of b.
double relative_difference(const std::vector<double>& a, const std::vector<double>& b);

/// A block of dit, trained for `gaussian` on what its config says of a sample.
std::unique_ptr<Block> dit_block(const DitConfig& config, const BlockPlace& place,
                                 kernels::LossWeighting weighting = kernels::LossWeighting::edm);

/// A batch of dit's.
Batch image_batch(const kernels::Tensor& image, const kernels::Tensor& label, std::uint32_t first_sample = 0);
/// Images with noise in them.
NetworkInput noisy_images(const kernels::Tensor& z, const kernels::Tensor& sigma, const Batch& batch);

/// A block with parameters, gradient, training and inference memory bound, each in an arena of exactly the size that a
/// measuring arena gave.
class BoundBlock {
 public:
  BoundBlock(std::unique_ptr<Block> block, kernels::DType dtype, std::int64_t samples);
  BoundBlock(const DitConfig& config, const BlockPlace& place, kernels::DType dtype, std::int64_t samples,
             kernels::LossWeighting weighting = kernels::LossWeighting::edm)
      : BoundBlock(dit_block(config, place, weighting), dtype, samples) {}

  Block& operator*() const { return *block_; }
  Block* operator->() const { return block_.get(); }
  const kernels::Tensor& parameters() const { return parameters_; }
  const kernels::Tensor& gradient() const { return gradient_; }
  /// Random values for every parameter, keyed by its name: also for those that start at zero and would hide the rest.
  void randomize(double deviation = 0.4);

 private:
  kernels::Arena bind(const char* purpose, void (Block::*method)(kernels::Arena&, kernels::DType, std::int64_t),
                      kernels::DType dtype, std::int64_t samples);

  std::unique_ptr<Block> block_;
  kernels::Arena flat_, training_, inference_;
  kernels::Tensor parameters_, gradient_;
};

/// The gradient of `loss`, which adds it into d's, against central differences along a random direction in each
/// parameter tensor by itself, so that no tensor hides behind another. Those whose gradient is 0 have to be `without`.
void check_gradient(const BoundBlock& d, const std::function<double()>& loss,
                    const std::vector<std::string>& without = {});

/// Targets, labels (one of them -1) and noise levels for a network of `config`, keyed by their purpose.
struct Samples {
  Samples(const DitConfig& config, kernels::DType dtype, std::int64_t count);
  Batch batch() const { return image_batch(*y, *label); }
  NetworkInput input() const { return noisy_images(*z, *sigma, batch()); }

  HostTensor y, z, sigma, label;
};

/// The smallest network in which nothing is square, single or a power of two by accident.
DitConfig small_config();
/// The same with shapes off every vector width, and 35 tokens in an image.
DitConfig odd_config();

}  // namespace blocktrain::blocks::test
