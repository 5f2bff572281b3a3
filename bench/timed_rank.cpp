#include "bench/timed_rank.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>

#include "bench/device_memory.hpp"
#include "blocks/parameters.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/plan/learning_rate.hpp"

namespace blocktrain::bench {

using namespace trainer;

namespace {

std::unique_ptr<kernels::Device> device_of(const TimedSettings& s) {
  if (!on_gpu(s.config)) return kernels::make_cpu_device(s.threads);
  return kernels::make_cuda_device(0, computed_in(s.config), s.deterministic, s.graphs);
}

BlockStepSettings step_settings(const Config& config, const Plan& plan) {
  BlockStepSettings s;
  s.seed = 1;
  s.optimizer = config.optimizer;
  s.decay_steps = resolved_decay_steps(config);
  s.global_batch = plan.batch;
  s.micro_batch = plan.micro_batch;
  return s;
}

}  // namespace

long resident_bytes(const char* key) {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  char line[256];
  long kib = 0;
  while (file != nullptr && std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, key, std::strlen(key)) == 0) std::sscanf(line + std::strlen(key), ": %ld", &kib);
  }
  if (file != nullptr) std::fclose(file);
  return kib * 1024;
}

Plan plan_of(const TimedSettings& s) {
  const bool alone = s.blocks_in_turn == 0;
  const Plan plan = make_plan(s.config, s.data, alone ? 0 : 1);
  const auto count = static_cast<int>(plan.blocks.size());
  if (s.blocks_in_turn < 0 || s.blocks_in_turn > count)
    throw InputError("--blocks-in-turn: the network has " + std::to_string(count) + " blocks");
  if (alone && s.config.blocks.training == TrainingMode::block_local && (s.block < 0 || s.block >= count))
    throw InputError("--block: the network has " + std::to_string(count) + " blocks, counted from 0");
  return plan;
}

std::size_t timed_rank_index(const TimedSettings& s) {
  const bool one = s.blocks_in_turn > 0 || s.config.blocks.training == TrainingMode::end_to_end;
  return one ? 0 : static_cast<std::size_t>(s.block);
}

TimedRank::TimedRank(const TimedSettings& s, const Plan& plan) : device_(device_of(s)), idle_(resident_bytes("VmRSS")) {
  const RankPlan& rank = plan.ranks[timed_rank_index(s)];
  arenas_ = std::make_unique<RankArenas>(RankArenas::take(*device_, rank.bytes));
  std::vector<blocks::BlockPlace> places;
  for (const int b : rank.blocks) {
    if (s.blocks_in_turn == 0 || static_cast<int>(places.size()) < s.blocks_in_turn)
      places.push_back(plan.blocks[static_cast<std::size_t>(b)].place);
  }
  owned_ = bind_blocks(*arenas_, s.config, s.data, places, plan.micro_batch, plan.batch, 1);
  write_schedule(*device_, owned_.front(), training_intervals(s.config));
  slots_ = std::make_unique<BlockSlots>(*device_, owned_);
  for (const OwnedBlock& o : owned_) blocks::initialize(o.state.parameters, o.network->parameters(), 1);
  BatchLoaderOptions loader;
  loader.batch = loader.end = plan.batch;
  batches_ = bind_loader_batches(arenas_->batch, s.data, loader);
  fill(batches_.front(), s);
  step_settings_ = step_settings(s.config, plan);
  stepper_ = std::make_unique<BlockStepper>(*device_, Replicas{});
}

void TimedRank::fill(const blocks::Batch& batch, const TimedSettings& s) const {
  for (std::size_t i = 0; i < s.data.fields.size(); ++i) {
    const kernels::Tensor& field = batch.fields[i];
    if (field.dtype == kernels::DType::int32) {
      for (std::int64_t n = 0; n < field.size(); ++n) {
        field.as<std::int32_t>()[n] = static_cast<std::int32_t>(n % s.data.classes);
      }
    } else {
      kernels::make_cpu_ops(1)->random_normal(field.reshaped({field.dim(0), field.row_size()}),
                                              {7, kernels::Purpose::test, 0}, 0, 0);
    }
  }
}

std::vector<double> TimedRank::row(OwnedBlock& block, int steps) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  seconds.reserve(static_cast<std::size_t>(steps));
  auto last = Clock::now();
  for (int done = 0, asked = 0; done < steps; ++done) {
    for (; asked < steps && stepper_->under_way() < stepper_->most_under_way(); ++asked)
      stepper_->begin(block, batches_.front(), step_settings_, false);
    if (!stepper_->finish(block).finite) throw RunError("the gradient of a step is not finite");
    const auto now = Clock::now();
    seconds.push_back(std::chrono::duration<double>(now - last).count());
    last = now;
  }
  return seconds;
}

std::size_t TimedRank::device_bytes() const {
  const std::size_t free = free_device_bytes(), before = device_->facts().free_bytes;
  return device_->shares_host_memory() || free > before ? 0 : before - free;
}

}  // namespace blocktrain::bench
