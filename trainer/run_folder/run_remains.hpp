#pragma once
/// What is left of a run: the way on where something of its RUN folder is lost, and what a changed budget means for it.

#include <functional>
#include <string>
#include <vector>

#include "trainer/checkpoint/resume.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/run_folder/run_folder.hpp"

namespace blocktrain::trainer {

/// What the run in a RUN folder was trained on: data.json, or where that is missing or empty what `now` says of the
/// data at hand, with a sentence in `warnings`. The digest in the ledger then tells whether they are the same data.
/// Throws InputError: data.json is damaged; it is missing, and the data at hand are others or (`now` throws) cannot be
/// read.
DataFacts facts_of_run(const RunPaths& paths, const std::function<DataFacts()>& now,
                       std::vector<std::string>& warnings);

/// Sentences for the user: the ledger or all checkpoints of a run that is resumed are gone.
std::vector<std::string> lost_parts(const RunPaths& paths, const ResumePlan& resume);

/// Sentences for the user: what another budget.steps than before means for a run that is resumed.
std::vector<std::string> changed_budget(const Config& before, const Config& now, const ResumePlan& resume);

}  // namespace blocktrain::trainer
