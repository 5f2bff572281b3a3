// blocktrain eval: the quality of the assembled network, as a table, as RUN/eval.json and as a row of the ledger.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "comm/launch.hpp"
#include "comm/local/local_world.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/commands/under_mpi.hpp"
#include "trainer/eval/eval_file.hpp"
#include "trainer/eval/eval_table.hpp"
#include "trainer/eval/evaluation.hpp"
#include "trainer/eval/whole_file.hpp"
#include "trainer/ledger/ledger.hpp"
#include "trainer/run/run_folder.hpp"
#include "trainer/run/terminal.hpp"

namespace blocktrain::trainer {
namespace {

/// Adds the result to the ledger, unless a training holds it or it needs recovery.
void note_in_ledger(const EvalResult& result) {
  const std::string folder = result.run.folder;
  if (!std::filesystem::exists(ledger_path(folder))) return;
  EvalRow row;
  row.step = *std::min_element(result.run.steps.begin(), result.run.steps.end());
  row.samples = result.run.denoising.images;
  row.seconds = result.seconds;
  row.metrics = {{"heldout_loss", result.run.denoising.loss}, {"heldout_mse", result.run.denoising.mse}};
  for (const GenerationResult& g : result.run.generation) {
    row.metrics.emplace_back(fmt::format("agreement_{}_steps", g.steps), g.agreement);
    row.metrics.emplace_back(fmt::format("frechet_pixels_training_{}_steps", g.steps), g.frechet.pixels_training);
    row.metrics.emplace_back(fmt::format("frechet_features_training_{}_steps", g.steps), g.frechet.features_training);
  }
  try {
    LedgerWriter writer(folder);
    writer.eval(row);
    writer.sync();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "blocktrain: no row was added to the ledger: %s\n", e.what());
  }
}

int evaluate(comm::Communicator& world, const EvalArguments& arguments) {
  EvaluationRanks ranks(world, evaluation_timeout(world, arguments.run, arguments.overrides));
  TrainedNetwork run(ranks, arguments.run, arguments.overrides);
  const std::string path = RunPaths{arguments.run}.eval();
  ranks.together([&] {
    if (!ranks.leads()) return;
    require_writable(path, "RUN");
    print_warnings(run);
  });
  std::optional<TrainedNetwork> twin;
  if (!arguments.twin.empty()) {
    // What is measured is the run's; only where and how fast is the twin's business too.
    twin.emplace(ranks, arguments.twin, arguments.overrides);
    ranks.together([&] {
      if (!ranks.leads()) return;
      print_warnings(*twin);
      require_comparable(run, *twin);
    });
  }
  EvalProgress progress(ranks.leads() ? stderr : nullptr, ranks.leads() && watched_terminal(STDERR_FILENO));
  const EvalResult result = evaluate_run(run, twin ? &*twin : nullptr, progress);
  ranks.finish();

  ranks.together([&] {
    if (!ranks.leads()) return;
    WholeFile file(path, "RUN");
    file.write(to_json(result));
    file.commit();
    note_in_ledger(result);
    fmt::print("{}\n{}\n", to_table(result), path);
  });
  return 0;
}

}  // namespace

int eval_command(const EvalArguments& arguments) {
  if (comm::launched_by_mpirun()) {
    return under_mpi([&](comm::Communicator& world) { return evaluate(world, arguments); });
  }
  return evaluate(*comm::make_single(), arguments);
}

}  // namespace blocktrain::trainer
