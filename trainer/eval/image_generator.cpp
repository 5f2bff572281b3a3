#include "trainer/eval/image_generator.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/error.hpp"
#include "trainer/run/network.hpp"

namespace blocktrain::trainer {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

ImageGenerator::ImageGenerator(TrainedNetwork& network) : network_(network) {
  const ImageShape shape = network.image_shape();
  const auto bind = [&](Arena& arena) {
    sampler_.bind(arena, DType::float32, network.batch(), shape.channels, shape.height, shape.width);
    labels_ = arena.allocate(DType::int32, {network.batch()});
  };
  Arena sizing = Arena::measuring("sampler");
  bind(sizing);
  arena_.emplace(Arena::host("sampler", sizing.peak()));
  bind(*arena_);
}

GeneratedImages ImageGenerator::generate(const std::vector<std::int32_t>& labels, const GenerationSettings& settings,
                                         const ReportProgress& report) {
  BLOCKTRAIN_EXPECTS(!labels.empty() && settings.steps >= 1);
  blocks::AssembledNetwork& network = network_.network();
  kernels::Ops& ops = network_.ops();
  const auto denoise = [&](const Tensor& d, const Tensor& z, double sigma, const Tensor& label) {
    network.denoise(ops, d, z, sigma, label, settings.guidance);
  };
  const std::vector<double> edges = network.schedule().sampling_edges(settings.steps);
  blocks::SamplerSettings sampling;
  sampling.kind = sampler_kind(settings.sampler);
  sampling.seed = settings.seed;
  sampling.target_deviation = network_.data().deviation;

  const auto total = static_cast<std::int64_t>(labels.size()), size = network_.image_shape().size();
  GeneratedImages result;
  result.images.resize(static_cast<std::size_t>(total * size));
  network.reset_flops();
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t begin = 0; begin < total; begin += network_.batch()) {
    const std::int64_t end = std::min(begin + network_.batch(), total);
    const Tensor label = labels_.rows(0, end - begin);
    std::copy(labels.begin() + begin, labels.begin() + end, label.as<std::int32_t>());
    const Tensor made = sampler_.run(ops, denoise, edges, label, sampling, static_cast<std::uint32_t>(begin));
    ops.synchronize();
    std::memcpy(result.images.data() + begin * size, made.data, made.bytes());
    if (report) report(end, total);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result.flops_per_image = network.flops_spent() / static_cast<double>(total);
  result.seconds_per_image = seconds.count() / static_cast<double>(total);
  return result;
}

}  // namespace blocktrain::trainer
