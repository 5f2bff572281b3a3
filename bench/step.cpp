// One training step of blocktrain, again and again: a server for bench/compare_step.py, or a table by itself.
//
// Prints "ready IDLE_BYTES PLANNED_BYTES", then for every line "N" on standard input takes N steps and answers with the
// seconds of each. IDLE_BYTES is what the process held before it took memory for the network.

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#include "blocks/parameters.hpp"
#include "kernels/device.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/run/block_slots.hpp"
#include "trainer/run/block_step.hpp"
#include "trainer/run/learning_rate.hpp"
#include "trainer/run/plan.hpp"

namespace {

using namespace blocktrain;
using namespace blocktrain::trainer;

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

}  // namespace

int main(int argc, char** argv) {
  Config config;
  DataShape data{1, 8, 8, 10};
  int threads = 1, block = 1;
  bool end_to_end = false, cuda = false, bfloat16 = false, checkpoint_activations = false;
  CLI::App app{"Times training steps of blocktrain"};
  app.add_option("--layers", config.model.layers);
  app.add_option("--width", config.model.width);
  app.add_option("--heads", config.model.heads);
  app.add_option("--patch", config.model.patch);
  app.add_option("--blocks", config.blocks.count);
  app.add_option("--batch", config.data.batch);
  app.add_option("--micro-batch", config.data.micro_batch);
  app.add_option("--channels", data.channels);
  app.add_option("--size", data.height, "Height and width of an image");
  app.add_option("--classes", data.classes);
  app.add_option("--threads", threads);
  app.add_option("--block", block, "The block that is timed");
  app.add_flag("--end-to-end", end_to_end);
  app.add_flag("--cuda", cuda, "On the first GPU");
  app.add_flag("--bfloat16", bfloat16, "Compute in bfloat16 (on a GPU)");
  app.add_flag("--checkpoint-activations", checkpoint_activations, "Keep only the inputs of layers");
  CLI11_PARSE(app, argc, argv);
  data.width = data.height;
  config.budget.steps = 1000000;
  config.optimizer.decay_steps = 0;
  config.blocks.training = end_to_end ? TrainingMode::end_to_end : TrainingMode::block_local;

  if (checkpoint_activations) config.parallel.activation_checkpointing = ActivationCheckpointing::layer;
  config.parallel.device = cuda ? DeviceChoice::cuda : DeviceChoice::cpu;
  config.model.precision = bfloat16 ? Precision::bfloat16 : Precision::float32;
  const std::unique_ptr<kernels::Device> device =
      cuda ? kernels::make_cuda_device(0, computed_in(config), true) : kernels::make_cpu_device(threads);
  const long idle = resident_bytes("VmRSS");
  const Plan plan = make_plan(config, data, 0);
  const int b = end_to_end ? 0 : block;
  const RankPlan& rank = plan.ranks[static_cast<std::size_t>(b)];
  RankArenas arenas = RankArenas::take(*device, rank.bytes);
  std::vector<OwnedBlock> owned = bind_blocks(arenas, config, data, {plan.blocks[static_cast<std::size_t>(b)].place},
                                              plan.micro_batch, plan.batch, 1);
  OwnedBlock& o = owned.front();
  BlockSlots slots(*device, owned);
  blocks::initialize(o.state.parameters, o.network->parameters(), 1);
  BatchLoaderOptions loader;
  loader.batch = loader.end = plan.batch;
  const std::vector<Batch> batches =
      bind_loader_batches(arenas.batch, {data.channels, data.height, data.width}, loader);
  const Batch& batch = batches.front();
  kernels::make_cpu_ops(1)->random_normal(batch.images.reshaped({plan.batch, data.channels * data.height * data.width}),
                                          {7, kernels::Purpose::test, 0}, 0, 0);
  for (std::int64_t n = 0; n < plan.batch; ++n)
    batch.labels.as<std::int32_t>()[n] = static_cast<std::int32_t>(n % data.classes);

  const blocks::NoiseSchedule schedule = noise_schedule(config);
  BlockStepSettings settings;
  settings.seed = 1;
  settings.interval = training_interval(config, schedule, b);
  settings.optimizer = config.optimizer;
  settings.decay_steps = resolved_decay_steps(config);
  settings.global_batch = plan.batch;
  settings.micro_batch = plan.micro_batch;

  BlockStepper stepper(*device, {});
  slots.enter(o);
  std::printf("ready %ld %zu %.6g %lld\n", idle, rank.bytes.total(),
              plan.blocks[static_cast<std::size_t>(b)].flops.training * static_cast<double>(plan.batch),
              static_cast<long long>(plan.micro_batch));
  std::fflush(stdout);
  for (int steps = 0; std::cin >> steps;) {
    for (int i = 0; i < steps; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      take_block_step(stepper, o, batch, settings, false);
      std::printf("%.9f ", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::printf("%ld\n", resident_bytes("VmHWM"));
    std::fflush(stdout);
  }
  return 0;
}
