#include "trainer/eval/eval_progress.hpp"

#include <algorithm>

#include "trainer/run/output.hpp"

namespace blocktrain::trainer {

void EvalProgress::draw(const std::string& text) {
  show(out_, "\r{:<{}}", text, drawn_);
  drawn_ = text.size();
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
  show(out_, "\r");
}

}  // namespace blocktrain::trainer
