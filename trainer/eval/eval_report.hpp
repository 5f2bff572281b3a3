#pragma once
/// What an evaluation found, ready to be written: RUN/eval.json, the table that is shown, the row of the ledger.

#include <string>

#include "trainer/ledger/ledger.hpp"
#include "trainer/support/whole_file.hpp"

namespace blocktrain::trainer {

struct EvalReport {
  std::string json;   ///< RUN/eval.json: format "blocktrain-eval", whose head is the same for every task
  std::string table;  ///< for people
  EvalRow row;
};

/// Files of that format, of any version.
const FileKind& eval_file_kind();

}  // namespace blocktrain::trainer
