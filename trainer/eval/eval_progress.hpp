#pragma once
/// What a user sees while `eval` works: on a terminal one line that is redrawn, else one line per phase.

#include <chrono>
#include <cstdio>
#include <string>

#include "trainer/eval/report_progress.hpp"

namespace blocktrain::trainer {

class EvalProgress {
 public:
  /// Writes to `out`, which is a `terminal` that can redraw lines, or not; null: says nothing.
  EvalProgress(std::FILE* out, bool terminal) : out_(out), terminal_(terminal) {}

  /// Starts a phase; what it returns is told how far the phase is, and must not outlive this object.
  ReportProgress phase(const std::string& name);
  /// Clears the line.
  void end();

 private:
  void draw(const std::string& text);

  std::FILE* out_;
  bool terminal_;
  std::string name_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace blocktrain::trainer
