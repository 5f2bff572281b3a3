// blocktrain generate: what the assembled network makes.

#include <fmt/format.h>

#include <cmath>

#include "comm/launch.hpp"
#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/commands/under_mpi.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
namespace {

void check(const GenerateArguments& a) {
  if (a.count < 0) throw InputError(fmt::format("--count: found {}; accepted: 1 or more", a.count));
  if (a.steps < 0) throw InputError(fmt::format("--steps: found {}; accepted: 1 or more", a.steps));
  if (a.scale < 0) throw InputError(fmt::format("--scale: found {}; accepted: 1 or more", a.scale));
  if (a.guidance && (!(*a.guidance >= 0) || std::isinf(*a.guidance))) {
    throw InputError(fmt::format("--guidance: found {}; accepted: a number from 0", *a.guidance));
  }
  if (a.temperature && (!(*a.temperature >= 0) || std::isinf(*a.temperature))) {
    throw InputError(fmt::format("--temperature: found {}; accepted: a number from 0", *a.temperature));
  }
  if (a.top_p && !(*a.top_p > 0 && *a.top_p <= 1)) {
    throw InputError(fmt::format("--top-p: found {}; accepted: above 0, up to 1", *a.top_p));
  }
}

int generate(comm::Communicator& world, const GenerateArguments& arguments) {
  EvaluationRanks ranks(world, evaluation_timeout(world, arguments.run, arguments.overrides));
  ranks.together([&] {
    // Before the weights are read, and by one rank.
    if (ranks.leads()) require_generation(task_of(load_run_config(arguments.run, arguments.overrides)));
  });
  TrainedNetwork network(task_of, ranks, arguments.run, arguments.overrides);
  network.task().generate(network, arguments);
  return 0;
}

}  // namespace

int generate_command(const GenerateArguments& arguments) {
  check(arguments);
  if (comm::launched_by_mpirun()) {
    return under_mpi([&](comm::Communicator& world) { return generate(world, arguments); });
  }
  return generate(*comm::make_single(), arguments);
}

}  // namespace blocktrain::trainer
