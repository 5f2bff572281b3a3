#include "trainer/data/batch_loader.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {

std::vector<blocks::Batch> bind_loader_batches(kernels::Arena& arena, const blocks::SampleLayout& layout,
                                               const BatchLoaderOptions& options) {
  BLOCKTRAIN_EXPECTS(options.depth >= 1);
  BLOCKTRAIN_EXPECTS(0 <= options.begin && options.begin < options.end && options.end <= options.batch);
  BLOCKTRAIN_EXPECTS(options.batch <= most_samples);
  std::vector<blocks::Batch> ring;
  for (int i = 0; i <= options.depth; ++i) {
    ring.push_back(blocks::bind_batch(arena, layout, options.end - options.begin));
    ring.back().first_sample = static_cast<std::uint32_t>(options.begin);
  }
  return ring;
}

BatchLoader::BatchLoader(const Samples& data, const SampleOrder& order, const BatchLoaderOptions& options,
                         kernels::Arena& arena) {
  BLOCKTRAIN_EXPECTS(order.count() == data.count(Split::train));
  std::vector<blocks::Batch> ring = bind_loader_batches(arena, data.layout(), options);
  if (arena.measures_only()) return;
  const auto rows = static_cast<std::size_t>(options.end - options.begin);
  const auto fill = [&data, order, options, indices = std::vector<std::int64_t>(rows),
                     passes = std::vector<std::uint64_t>(rows)](blocks::Batch& batch) mutable {
    const std::uint64_t first = std::uint64_t{batch.step} * static_cast<std::uint64_t>(options.batch) +
                                static_cast<std::uint64_t>(options.begin);
    for (std::size_t row = 0; row < indices.size(); ++row) {
      const SampleOrder::Visit visit = order.at(first + row);
      indices[row] = visit.index;
      passes[row] = visit.pass;
    }
    data.fill(batch, Split::train, indices, TrainingKey(options.seed, passes));
    if (!options.warn) return;
    for (const std::string& note : data.touched()) options.warn(note);
  };
  prefetcher_ = std::make_unique<Prefetcher>(std::move(ring), fill, options.first_step, options.deadline);
}

const blocks::Batch& BatchLoader::next() {
  BLOCKTRAIN_EXPECTS(prefetcher_ != nullptr);
  return prefetcher_->next();
}

void BatchLoader::release() {
  BLOCKTRAIN_EXPECTS(prefetcher_ != nullptr);
  prefetcher_->release();
}

void BatchLoader::seek(std::uint32_t step) {
  BLOCKTRAIN_EXPECTS(prefetcher_ != nullptr);
  prefetcher_->seek(step);
}

}  // namespace blocktrain::trainer
