#pragma once
/// What a training says before it starts and after it ended.

#include <string>
#include <vector>

#include "trainer/checkpoint/resume.hpp"
#include "trainer/config/config.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/ledger/ledger.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/run_folder/run_folder.hpp"

namespace blocktrain::trainer {

/// Who trains what on which machine, and on what (`data_text`); in a resumed run where each block goes on and what
/// recovery found (`note`).
void print_start(const Config& config, const Plan& plan, const std::string& data_text,
                 const std::vector<HostFacts>& hosts, const std::string& transport, const ResumePlan& resume,
                 const std::string& note);

/// What the run cost by its ledger, beside end to end, and where everything lies.
void print_end(const Config& config, const Plan& plan, const DataFacts& data, const RunPaths& paths,
               const std::string& status, double first_step_seconds);

}  // namespace blocktrain::trainer
