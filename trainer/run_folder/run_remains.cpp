#include "trainer/run_folder/run_remains.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "kernels/error.hpp"
#include "trainer/ledger/reader.hpp"
#include "trainer/plan/learning_rate.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

bool is_missing_or_empty(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? !std::filesystem::exists(path) : size == 0;
}

struct LedgerMemory {
  std::string data_digest;       ///< of the newest session that names one
  std::int64_t checkpoints = 0;  ///< committed
};

/// What the ledger remembers of files that are lost; nothing where it is lost itself, or damaged.
LedgerMemory remembered(const std::string& path) {
  LedgerMemory memory;
  try {
    LedgerReader reader(path);
    LedgerRow row;
    while (reader.next(row)) {
      if (row.type == "checkpoint") ++memory.checkpoints;
      if (row.type != "run_start") continue;
      const auto start = nlohmann::json::parse(row.text, nullptr, false);
      const auto facts = start.find("facts");
      if (facts == start.end() || !facts->is_object()) continue;
      const auto digest = facts->find("data_digest");
      if (digest != facts->end() && digest->is_string()) memory.data_digest = digest->get<std::string>();
    }
  } catch (const InputError&) {
  } catch (const RunError&) {
  }
  return memory;
}

}  // namespace

DataFacts facts_of_run(const RunPaths& paths, const std::function<DataFacts()>& now,
                       std::vector<std::string>& warnings) {
  if (!is_missing_or_empty(paths.data())) return load_data_facts(paths.data());
  DataFacts facts;
  try {
    facts = now();
  } catch (const InputError& e) {
    throw InputError(paths.data() +
                     ": is missing or empty, and the data cannot be read in its place; put it back, or say where the "
                     "data lie with --set data.path=FOLDER\n  " +
                     e.what());
  }
  const std::string digest = remembered(paths.ledger()).data_digest;
  if (!digest.empty() && digest != facts.digest) {
    throw InputError("data.path: '" + facts.path + "' holds other data than the run in '" + paths.root +
                     "' was trained on, by its ledger; " + paths.data() + " is missing. Give the same data");
  }
  warnings.push_back(paths.data() + " is missing or empty: taken from the data in '" + facts.path + "'" +
                     (digest.empty() ? ", and nothing tells whether they are those that the run was trained on"
                                     : ", which are those that the ledger names"));
  return facts;
}

std::vector<std::string> lost_parts(const RunPaths& paths, const ResumePlan& resume) {
  std::vector<std::string> sentences;
  const bool trained = std::ranges::any_of(resume.blocks, [](const ResumePoint& p) { return p.step > 0; });
  const bool no_ledger = is_missing_or_empty(paths.ledger());
  if (trained && no_ledger) {
    sentences.push_back(paths.ledger() +
                        " is missing or empty: what the steps so far cost is not known any more, and sums and budgets "
                        "count from here");
  }
  if (!resume.found) {
    const std::int64_t named = no_ledger ? 0 : remembered(paths.ledger()).checkpoints;
    if (no_ledger || named > 0) {
      sentences.push_back(
          fmt::format("there is no checkpoint in {}{}: every block starts over at step 0", paths.checkpoints(),
                      named > 0 ? fmt::format(" any more (the ledger names {})", named) : std::string()));
    }
  }
  return sentences;
}

std::vector<std::string> changed_budget(const Config& before, const Config& now, const ResumePlan& resume) {
  std::vector<std::string> sentences;
  std::vector<std::string> beyond;
  bool goes_on = false, began = false;
  for (const ResumePoint& p : resume.blocks) {
    began = began || p.step > 0;
    goes_on = goes_on || p.step < now.budget.steps;
    if (p.step > now.budget.steps) beyond.push_back(fmt::format("{} ({})", p.block, p.step));
  }
  if (!beyond.empty()) {
    sentences.push_back(fmt::format("blocks beyond budget.steps {} stay as they are, by block (step): {}",
                                    now.budget.steps, join(beyond)));
  }
  const std::int64_t was = resolved_decay_steps(before), is = resolved_decay_steps(now);
  if (began && goes_on && was != is) {
    sentences.push_back(fmt::format(
        "optimizer.decay_steps -1 follows budget.steps: the learning rate now falls until step {}, and fell "
        "until step {} in the steps so far. To keep to that, give --set optimizer.decay_steps={}",
        is, was, was));
  }
  return sentences;
}

}  // namespace blocktrain::trainer
