#pragma once
/// A block against what PyTorch computed for it (tests/fixtures/parity.py): its parameters set to the fixture's, then
/// outputs, gradients and the losses of ten AdamW steps compared.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/blocks/fixture.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks::test {

/// The fixture holds float32 roundings of a float64 computation. A step's learning rate and bias corrections are
/// float32 numbers on every device (StepState), hence the reference's losses.
struct Tolerance {
  double forward, gradient, losses;
};
inline constexpr Tolerance reference_tolerance{1e-7, 2e-7, 1e-7};
inline constexpr Tolerance cpu_tolerance{2e-6, 1e-5, 5e-6};

class ParityCase {
 public:
  /// `block` for all samples of the fixture; `name` of the case in it, `levels` of the samples' noise levels.
  ParityCase(const Fixture& fixture, std::string name, std::unique_ptr<Block> block, kernels::Ops& ops,
             const std::string& levels = "input/sigma");

  std::int64_t samples() const { return samples_; }
  const BoundBlock& block() const { return block_; }

  /// `found` against the case's tensor of that name.
  void compare(const std::string& what, const std::vector<double>& found, double tolerance) const;
  /// Loss and gradient of a step by `input`: loss, and every gradient of the case, which are those of the block but
  /// of parameters `untrained`, whose gradient is 0. Returns the losses.
  SampleLosses check_gradient(const NetworkInput& input, const Tolerance& tolerance,
                              const std::string& untrained = "") const;
  /// The mean loss before each of ten AdamW steps; `input` is made anew for each.
  void check_training(const std::function<NetworkInput()>& input, const Tolerance& tolerance) const;

 private:
  SampleLosses accumulate(const NetworkInput& input) const;

  const Fixture& fixture_;
  std::string name_;
  kernels::Ops& ops_;
  std::int64_t samples_;
  BoundBlock block_;
};

}  // namespace blocktrain::blocks::test
