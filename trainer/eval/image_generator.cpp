#include "trainer/eval/image_generator.hpp"

#include <algorithm>
#include <chrono>

#include "kernels/error.hpp"
#include "trainer/run/network.hpp"

namespace blocktrain::trainer {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

void ImageGenerator::Work::bind(Arena& arena, const ImageShape& shape, std::int64_t batch) {
  sampler.bind(arena, DType::float32, batch, shape.channels, shape.height, shape.width);
  labels = arena.allocate(DType::int32, {batch});
}

std::size_t ImageGenerator::device_bytes(const ImageShape& shape, std::int64_t batch) {
  Arena sizing = Arena::measuring("sampler");
  Work().bind(sizing, shape, batch);
  return sizing.peak();
}

ImageGenerator::ImageGenerator(TrainedNetwork& network) : network_(network) {
  arena_.emplace(network.device().arena("sampler", device_bytes(network.image_shape(), network.batch())));
  work_.bind(*arena_, network.image_shape(), network.batch());
}

GeneratedImages ImageGenerator::generate(const std::vector<std::int32_t>& labels, const GenerationSettings& settings,
                                         const ReportProgress& report) {
  BLOCKTRAIN_EXPECTS(!labels.empty() && settings.steps >= 1);
  blocks::AssembledNetwork& network = network_.network();
  kernels::Device& device = network_.device();
  kernels::Ops& ops = device.ops();
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
    const Tensor label = work_.labels.rows(0, end - begin);
    device.upload(label.data, labels.data() + begin, label.bytes());
    const Tensor made = work_.sampler.run(ops, denoise, edges, label, sampling, static_cast<std::uint32_t>(begin));
    device.download(result.images.data() + begin * size, made.data, made.bytes());
    if (report) report(end, total);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result.flops_per_image = network.flops_spent() / static_cast<double>(total);
  result.seconds_per_image = seconds.count() / static_cast<double>(total);
  return result;
}

}  // namespace blocktrain::trainer
