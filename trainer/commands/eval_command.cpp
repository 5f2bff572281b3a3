// blocktrain eval: the quality of the assembled network, as a table, as RUN/eval.json and as a row of the ledger.

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "comm/launch.hpp"
#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/commands/under_mpi.hpp"
#include "trainer/eval/eval_progress.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/eval/twin.hpp"
#include "trainer/ledger/ledger.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/terminal.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/whole_file.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
namespace {

/// Adds the result to the ledger, unless a training holds it or it needs recovery.
void note_in_ledger(const std::string& folder, const EvalRow& row) {
  const std::string ledger = ledger_path(folder);
  std::error_code error;
  // One that was emptied: with this row at its beginning it would be no ledger.
  if (!std::filesystem::exists(ledger, error) || std::filesystem::file_size(ledger, error) == 0) return;
  const auto no_row = [](const std::string& why) { complain("no row was added to the ledger: " + why); };
  if (const std::string holder = RunPaths{folder}.lock_holder(); std::filesystem::exists(holder, error)) {
    return no_row(holder + " says that a training is going on");
  }
  try {
    LedgerWriter writer(folder);
    writer.eval(row);
    writer.sync();
  } catch (const std::exception& e) {
    no_row(message_of(e));
  }
}

void require_result_writable(const EvalArguments& arguments, const std::string& path) {
  try {
    require_writable(path, arguments.out.empty() ? "RUN" : "--out", eval_file_kind());
  } catch (const InputError& e) {
    if (!arguments.out.empty()) throw;
    throw InputError(std::string(e.what()) + "; with --out FILE the result is written elsewhere");
  }
}

/// Throws InputError where they are not 0, 1, and so on.
FirstBlocks first_blocks(const EvalArguments& arguments) {
  for (std::size_t i = 0; i < arguments.blocks.size(); ++i) {
    if (arguments.blocks[i] == static_cast<int>(i)) continue;
    throw InputError(
        fmt::format("--blocks: found {}; accepted: 0, or 0,1 and so on, for each block goes on from what "
                    "those before it made of the noise",
                    join(arguments.blocks)));
  }
  return {static_cast<int>(arguments.blocks.size())};
}

/// What of a run is measured alone has a file of its own beside that of the whole.
std::string default_path(const EvalArguments& arguments) {
  const RunPaths paths{arguments.run};
  return arguments.blocks.empty() ? paths.eval() : paths.root + "/eval.blocks-" + join(arguments.blocks, "-") + ".json";
}

int evaluate(comm::Communicator& world, const EvalArguments& arguments) {
  FirstBlocks first;
  all_or_none(world, [&] { first = first_blocks(arguments); });
  EvaluationRanks ranks(world, evaluation_timeout(world, arguments.run, arguments.overrides));
  TrainedNetwork run(task_of, ranks, arguments.run, arguments.overrides, nullptr, first);
  const std::string path = arguments.out.empty() ? default_path(arguments) : arguments.out;
  ranks.together([&] {
    if (!ranks.leads()) return;
    require_result_writable(arguments, path);
    print_warnings(run);
  });
  std::optional<TrainedNetwork> twin;
  if (!arguments.twin.empty()) {
    // What is measured is the run's; only where and how fast is the twin's business too.
    twin.emplace(task_of, ranks, arguments.twin, arguments.overrides);
    ranks.together([&] {
      if (!ranks.leads()) return;
      print_warnings(*twin);
      require_comparable(run, *twin);
    });
  }
  if (ranks.leads() && !run.threads_text().empty()) show(stderr, "computing on {}\n", run.threads_text());
  EvalProgress progress(ranks.leads() ? stderr : nullptr, ranks.leads() && watched_terminal(STDERR_FILENO));
  const EvalReport report = run.task().evaluate(run, twin ? &*twin : nullptr, progress);
  ranks.finish();

  ranks.together([&] {
    if (!ranks.leads()) return;
    WholeFile file(path, "--out", eval_file_kind());
    file.write(report.json);
    file.commit();
    note_in_ledger(run.folder(), report.row);
    show("{}\n{}\n", report.table, path);
  });
  return 0;
}

}  // namespace

int eval_command(const EvalArguments& arguments) {
  prepare_tasks();  // what is set up through the environment, which MPI's threads read
  if (comm::launched_by_mpirun()) {
    return under_mpi([&](comm::Communicator& world) { return evaluate(world, arguments); });
  }
  return evaluate(*comm::make_single(), arguments);
}

}  // namespace blocktrain::trainer
