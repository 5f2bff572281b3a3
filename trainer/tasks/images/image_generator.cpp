#include "trainer/tasks/images/image_generator.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/error.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

void ImageGenerator::Work::bind(Arena& arena, const ImageShape& shape, std::int64_t batch) {
  sampler.bind(arena, DType::float32, batch, {shape.channels, shape.height, shape.width});
  labels = arena.allocate(DType::int32, {batch});
}

std::size_t ImageGenerator::device_bytes(const ImageShape& shape, std::int64_t batch) {
  Arena sizing = Arena::measuring("sampler");
  Work().bind(sizing, shape, batch);
  return sizing.peak();
}

ImageGenerator::ImageGenerator(TrainedNetwork& network) : network_(network) {
  arena_.emplace(
      network.device().arena("sampler", device_bytes(image_shape_of(network.data().layout), network.batch())));
  work_.bind(*arena_, image_shape_of(network.data().layout), network.batch());
}

GeneratedImages ImageGenerator::generate(const std::vector<std::int32_t>& labels, const GenerationSettings& settings,
                                         const ReportProgress& report) {
  BLOCKTRAIN_EXPECTS(!labels.empty() && settings.steps >= 1);
  const auto total = static_cast<std::int64_t>(labels.size()), size = image_shape_of(network_.data().layout).size();
  const std::int64_t batch = network_.batch();
  // What is sent of a batch: its operations, then its images.
  const auto piece = [&](std::int64_t number) {
    const std::int64_t begin = number * batch, count = std::min(batch, total - begin);
    EvaluationRanks::Bytes bytes(sizeof(double) + static_cast<std::size_t>(count * size) * sizeof(float));
    const double flops = make_batch(bytes.data() + sizeof(flops), labels.data() + begin, begin, count, settings);
    std::memcpy(bytes.data(), &flops, sizeof(flops));
    return bytes;
  };
  const auto tell = [&](std::int64_t done, std::int64_t) {
    if (report) report(std::min(done * batch, total), total);
  };
  const auto start = std::chrono::steady_clock::now();
  const auto batches = network_.ranks().run((total + batch - 1) / batch, piece, tell);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  GeneratedImages result;
  if (!batches.empty()) result.images.reserve(static_cast<std::size_t>(total * size));
  double flops = 0;
  for (const EvaluationRanks::Bytes& bytes : batches) {
    double of_batch = 0;
    std::memcpy(&of_batch, bytes.data(), sizeof(of_batch));
    flops += of_batch;
    const std::size_t begin = result.images.size(), image_bytes = bytes.size() - sizeof(of_batch);
    result.images.resize(begin + image_bytes / sizeof(float));
    std::memcpy(result.images.data() + begin, bytes.data() + sizeof(of_batch), image_bytes);
  }
  result.flops_per_image = flops / static_cast<double>(total);
  result.seconds_per_image = seconds.count() / static_cast<double>(total);
  return result;
}

double ImageGenerator::make_batch(std::byte* images, const std::int32_t* labels, std::int64_t begin, std::int64_t count,
                                  const GenerationSettings& settings) {
  blocks::AssembledNetwork& network = network_.network();
  kernels::Device& device = network_.device();
  kernels::Ops& ops = device.ops();
  const auto denoise = [&](const Tensor& d, const Tensor& z, double sigma, const blocks::Batch& conditions) {
    network.denoise(ops, d, z, sigma, conditions, settings.guidance);
  };
  blocks::SamplerSettings sampling;
  sampling.kind = settings.sampler;
  sampling.seed = settings.seed;
  sampling.target_deviation = network_.data().deviation;
  network.reset_flops();
  const Tensor label = work_.labels.rows(0, count);
  device.upload(label.data, labels, label.bytes());
  const Tensor made = work_.sampler.run(ops, denoise, network.schedule().sampling_edges(settings.steps),
                                        labels_alone(label, static_cast<std::uint32_t>(begin)), count, sampling);
  device.download(images, made.data, made.bytes());
  return network.flops_spent();
}

}  // namespace blocktrain::trainer
