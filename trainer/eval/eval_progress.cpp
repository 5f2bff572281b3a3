#include "trainer/eval/eval_progress.hpp"

#include <fmt/format.h>

#include "trainer/support/output.hpp"
#include "trainer/support/terminal.hpp"

namespace blocktrain::trainer {

void EvalProgress::draw(const std::string& text) {
  // The cursor rests where the line begins: the place survives a change of the terminal's size.
  show(out_, "\r\x1b[J{}\r", fitted(text, usable_columns(terminal_size(fileno(out_)))));
}

ReportProgress EvalProgress::phase(const std::string& name) {
  name_ = name;
  if (out_ == nullptr) return {};
  if (!terminal_) {
    show(out_, "{} ...\n", name);
    return {};
  }
  draw(name);
  return [this](std::int64_t done, std::int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (done < total && now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    draw(fmt::format("{}  {} of {}", name_, done, total));
  };
}

void EvalProgress::end() {
  if (out_ == nullptr || !terminal_) return;
  draw("");
}

}  // namespace blocktrain::trainer
