#include "trainer/run/progress.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "trainer/run/output.hpp"
#include "trainer/run/units.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Progress::Progress(std::FILE* out, bool terminal, int blocks)
    : out_(out),
      terminal_(terminal),
      blocks_(static_cast<std::size_t>(blocks)),
      rates_(static_cast<std::size_t>(blocks)),
      started_(Clock::now()) {}

void Progress::step(int block, std::int64_t step, std::int64_t steps, double loss, std::int64_t tokens, double sigma_lo,
                    double sigma_hi, Clock::time_point now) {
  BlockProgress& b = blocks_[static_cast<std::size_t>(block)];
  Rate& r = rates_[static_cast<std::size_t>(block)];
  b.loss = r.first_step < 0 ? loss : 0.95 * b.loss + 0.05 * loss;
  b.step = step;
  b.steps = steps;
  b.sigma_lo = sigma_lo;
  b.sigma_hi = sigma_hi;
  b.state.clear();
  if (r.first_step < 0) {
    r.first_step = step;
    r.first_time = r.since = now;
    return;  // the first step's time is unknown: it began before we looked
  }
  r.tokens += tokens;
  const double window = seconds(now - r.since);
  if (window >= 2.0) {
    b.tokens_per_second = static_cast<double>(r.tokens) / window;
    r.tokens = 0;
    r.since = now;
  } else if (b.tokens_per_second == 0 && window > 0.25) {
    b.tokens_per_second = static_cast<double>(r.tokens) / window;
  }
}

void Progress::set_state(int block, const std::string& state) {
  blocks_[static_cast<std::size_t>(block)].state = state;
}

std::string Progress::line(int block) const {
  const BlockProgress& b = blocks_[static_cast<std::size_t>(block)];
  if (b.steps == 0) return fmt::format("block {:<2} {}", block, b.state.empty() ? "waiting" : b.state);
  const double share = static_cast<double>(b.step) / static_cast<double>(b.steps);
  std::string bar;
  if (terminal_) {
    constexpr int width = 20;
    const int filled = std::clamp(static_cast<int>(share * width), 0, width);
    bar = "[" + std::string(static_cast<std::size_t>(filled), '#') +
          std::string(static_cast<std::size_t>(width - filled), '.') + "] ";
  }
  return fmt::format("block {:<2} {}step {:>6}/{:<6} {:>3.0f}%  loss {:<8.4f} {:>7} tokens/s  sigma {:.3g}..{:.3g}{}{}",
                     block, bar, b.step, b.steps, 100 * share, b.loss, count(b.tokens_per_second), b.sigma_lo,
                     b.sigma_hi, b.state.empty() ? "" : "  ", b.state);
}

std::string Progress::time_left() const {
  // Blocks may run side by side or in turn; the share of all steps that is done tells in both cases.
  std::int64_t done = 0, todo = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const std::int64_t first = std::max<std::int64_t>(rates_[i].first_step, 0);
    done += std::max<std::int64_t>(blocks_[i].step - first, 0);
    // A block that has not reported yet needs as many steps as the others.
    const std::int64_t steps = blocks_[i].steps > 0
                                   ? blocks_[i].steps
                                   : std::max_element(blocks_.begin(), blocks_.end(), [](auto& x, auto& y) {
                                       return x.steps < y.steps;
                                     })->steps;
    todo += steps - blocks_[i].step;
  }
  if (done < 10) return "";
  const double elapsed = seconds(Clock::now() - started_);
  return ", about " + duration(elapsed / static_cast<double>(done) * static_cast<double>(todo)) + " left";
}

void Progress::draw(Clock::time_point now, bool force) {
  const double interval = terminal_ ? 0.5 : 10.0;
  if (!force && seconds(now - last_draw_) < interval) return;
  last_draw_ = now;
  std::string text;
  if (terminal_ && drawn_lines_ > 0) text += fmt::format("\x1b[{}A", drawn_lines_);
  const char* clear = terminal_ ? "\x1b[2K" : "";
  for (int b = 0; b < static_cast<int>(blocks_.size()); ++b) text += clear + line(b) + "\n";
  text += fmt::format("{}elapsed {}{}; {}\n", clear, duration(seconds(now - started_)), time_left(), energy_);
  // A frame that is not taken at once is left out; the next one comes soon.
  write_output(out_, text, std::chrono::milliseconds(0));
  drawn_lines_ = static_cast<int>(blocks_.size()) + 1;
}

}  // namespace blocktrain::trainer
