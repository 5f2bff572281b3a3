#pragma once
/// The batches of a run, step by step: what block steps are fed with.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "blocks/batch.hpp"
#include "kernels/arena.hpp"
#include "trainer/data/prefetcher.hpp"
#include "trainer/data/sample_order.hpp"
#include "trainer/data/samples.hpp"

namespace blocktrain::trainer {

struct BatchLoaderOptions {
  std::int64_t batch = 1;           ///< samples of the global batch (data.batch)
  std::int64_t begin = 0, end = 1;  ///< samples [begin, end) of it are made: a replica's share
  std::uint64_t seed = 0;           ///< of what is changed in the samples (Samples::fill)
  std::uint32_t first_step = 0;
  int depth = 2;                                                   ///< batches kept ready beside the one in use
  std::chrono::milliseconds deadline = std::chrono::seconds(300);  ///< of next()
  /// Told of data files that were touched but not changed, on the background thread; may be empty.
  std::function<void(const std::string&)> warn;
};

/// Batches of the training split, made ahead by a background thread. The batch of a step is a pure function of the data
/// set, the order, the options and the step: sample i of the global batch is order.index(step * batch + i), so
/// a run goes on from any step, and replicas together see exactly what one rank would see.
///
/// One thread may call next(), release() and seek(). A rank that trains several blocks in turn gives each its own
/// loader, or one loader a seek() at every turn.
class BatchLoader {
 public:
  /// Binds depth + 1 batches from `arena`. On a measuring arena nothing starts, and next() must not be called.
  /// `data` has to outlive the loader, `arena` its batches. order.count() is the size of the training split.
  BatchLoader(const Samples& data, const SampleOrder& order, const BatchLoaderOptions& options, kernels::Arena& arena);

  /// The next step's batch; valid until the next call of next() or release(). Allocates nothing. Throws RunError past
  /// the deadline, and whatever ended the background thread: a data file that was changed while it is in use, too.
  const blocks::Batch& next();
  /// Gives the batch in hand back, so that its memory can be filled anew.
  void release();
  /// Makes `step` the next one. Cheap: never waits, and keeps what is already made for it and later steps.
  void seek(std::uint32_t step);

 private:
  std::unique_ptr<Prefetcher> prefetcher_;
};

/// Binds what a BatchLoader of these options binds, without a data set; to price a plan.
std::vector<blocks::Batch> bind_loader_batches(kernels::Arena& arena, const blocks::SampleLayout& layout,
                                               const BatchLoaderOptions& options);

}  // namespace blocktrain::trainer
