#pragma once
/// The judge of generated images: a small classifier, trained by this program on the real training images. Two hidden
/// layers with GELU; AdamW with a cosine; images of 16 pixels and more are shifted by up to one pixel, smaller ones get
/// a little noise. Everything random in it is keyed by a seed of its own, so all runs on the same data have the same
/// judge. Its accuracy on held-out images says how far it is to be trusted.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "blocks/layers/linear.hpp"
#include "blocks/parameters.hpp"
#include "kernels/arena.hpp"
#include "kernels/ops.hpp"
#include "kernels/step_state.hpp"
#include "trainer/eval/report_progress.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

struct ClassifierSettings {
  std::int64_t hidden = 256;  ///< width of both hidden layers
  std::int64_t batch = 128;
  std::int64_t steps = 2000;
  double learning_rate = 2e-3;  ///< at the start of the cosine
  double weight_decay = 0.05;
  double noise = 0;   ///< deviation of the noise added to training images
  bool shift = true;  ///< by -1, 0 or 1 pixel each way
  bool flip = false;  ///< left to right, half of the images
  std::uint64_t seed = 0;
};

/// What suits images of this shape; `flip` as the run's data.flip.
ClassifierSettings classifier_settings(const ImageShape& shape, bool flip);

class ImageClassifier {
 public:
  /// `ops` has to outlive it.
  ImageClassifier(kernels::Ops& ops, const ImageShape& shape, std::int64_t classes, const ClassifierSettings& settings);

  /// Trains on the training split from scratch.
  void train(const ImageDataset& data, const ReportProgress& report = {});

  struct Judgement {
    std::vector<std::int32_t> classes;  ///< the likeliest, by image
    std::vector<float> features;        ///< [n, hidden] what the last layer sees
  };
  /// Of images [n, channels, height, width].
  Judgement judge(const std::vector<float>& images);

  const ClassifierSettings& settings() const { return settings_; }
  std::int64_t parameter_count() const;

 private:
  struct Layers {
    blocks::Linear first, second, output;
  };
  void bind(kernels::Arena& arena);
  void fill_images(const ImageDataset& data, std::uint32_t step);
  void forward(std::int64_t rows);
  void step(std::uint32_t number);

  kernels::Ops& ops_;
  ImageShape shape_;
  std::int64_t classes_;
  ClassifierSettings settings_;
  blocks::ParameterLayout layout_;
  Layers layers_;
  std::optional<kernels::Arena> arena_;
  kernels::Tensor parameters_, gradient_, first_moment_, second_moment_;
  kernels::Tensor images_, noise_, labels_, hidden1_, active1_, hidden2_, active2_, logits_, loss_, d2_, d1_;
  kernels::StepState state_;
};

/// Share of equal entries, 0 to 1.
double agreement(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b);

}  // namespace blocktrain::trainer
