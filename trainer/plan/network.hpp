#pragma once
/// From a config to the objects of blocks/: which block has which layers, its network, and its noise interval.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "blocks/batch.hpp"
#include "blocks/block.hpp"
#include "blocks/noise/sampler.hpp"
#include "blocks/noise/schedule.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

/// Whether the config asks for a GPU; `auto` has been resolved by then (see trainer/plan/compute_device.hpp).
inline bool on_gpu(const Config& config) { return config.parallel.device == DeviceChoice::cuda; }
/// The type that networks compute in.
inline kernels::DType computed_in(const Config& config) { return config.model.precision; }

/// What the blocks of a config are trained by; end to end that is the twin's objective, where the architecture has one.
const blocks::ObjectiveEntry& trained_objective(const Config& config);

/// Whether the noise schedule needs config.noise.information, which is in no key: it follows from the data.
bool needs_information(const Config& config);
/// That, for the table of class embeddings as it is in the beginning and the classes' counts in the training data;
/// none: all alike. Throws InputError where the network has no such table.
std::vector<double> class_information(const Config& config, const blocks::SampleLayout& data,
                                      std::span<const std::int64_t> class_counts);

/// Blocks that train: blocks.count of them, or one of all layers for an end-to-end run.
int trained_blocks(const Config& config);

/// Where each trained block stands: layers_per_block() of them, or all for an end-to-end network, counted through
/// the whole network.
std::vector<blocks::BlockPlace> block_places(const Config& config);

/// The noise schedule of the run: one interval per trained block. Precondition: where it needs_information(), that is
/// there.
blocks::NoiseSchedule noise_schedule(const Config& config);

/// What block b of a schedule draws from while it trains.
kernels::SigmaInterval training_interval(const Config& config, const blocks::NoiseSchedule& schedule, int block);
/// The same for each block of the run's schedule.
std::vector<kernels::SigmaInterval> training_intervals(const Config& config);

/// Seed for weights and noise of a trained block: block_seed(), or of an end-to-end network `seed`.
std::uint64_t trained_block_seed(const Config& config, int block);

/// One block: its network and what it is trained for. Throws InputError when data and model do not fit, naming the
/// keys.
std::unique_ptr<blocks::Block> make_block(const Config& config, const blocks::SampleLayout& data,
                                          const blocks::BlockPlace& place);

/// Numbers per token of the widest activation of a layer.
std::int64_t widest_activation(const Config& config);

}  // namespace blocktrain::trainer
