#include "trainer/coordinator/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "trainer/support/output.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Progress::Progress(std::FILE* out, AskTerminalSize terminal, int blocks, bool masks)
    : out_(out),
      terminal_(std::move(terminal)),
      masks_(masks),
      blocks_(static_cast<std::size_t>(blocks)),
      rates_(static_cast<std::size_t>(blocks)),
      started_(Clock::now()) {}

void Progress::step(const StepRecord& record, std::int64_t steps, Clock::time_point now) {
  BlockProgress& b = blocks_[static_cast<std::size_t>(record.block)];
  Rate& r = rates_[static_cast<std::size_t>(record.block)];
  b.loss = r.first_step < 0 ? record.loss : 0.95 * b.loss + 0.05 * record.loss;
  b.step = record.step + 1;
  b.steps = steps;
  b.level_lo = record.level_lo;
  b.level_hi = record.level_hi;
  b.state.clear();
  if (r.first_step < 0) {
    r.first_step = b.step;
    r.first_time = r.since = now;
    return;  // the first step's time is unknown: it began before we looked
  }
  r.tokens += record.tokens * record.replicas;
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

std::string Progress::line(int block, const Layout& layout) const {
  const BlockProgress& b = blocks_[static_cast<std::size_t>(block)];
  if (b.steps == 0) return fmt::format("block {:<2} {}", block, b.state.empty() ? "waiting" : b.state);
  const double share = static_cast<double>(b.step) / static_cast<double>(b.steps);
  std::string text = fmt::format("block {:<2} ", block);
  if (layout.bar > 0) {
    const int filled = std::clamp(static_cast<int>(share * layout.bar), 0, layout.bar);
    text += "[" + std::string(static_cast<std::size_t>(filled), '#') +
            std::string(static_cast<std::size_t>(layout.bar - filled), '.') + "] ";
  }
  text += fmt::format("step {:>6}/{:<6}", b.step, b.steps);
  if (layout.share) text += fmt::format(" {:>3.0f}%", 100 * share);
  if (layout.loss) text += fmt::format("  loss {:<8.4f}", b.loss);
  if (layout.rate) text += fmt::format(" {:>7} tokens/s", count(b.tokens_per_second));
  if (layout.level) text += fmt::format("  {} {:.3g}..{:.3g}", masks_ ? "masked" : "sigma", b.level_lo, b.level_hi);
  return text + (b.state.empty() ? "" : "  " + b.state);
}

std::string Progress::last_line(Clock::time_point now) const {
  return fmt::format("elapsed {}{}; {}", duration(seconds(now - started_)), time_left(), energy_);
}

std::vector<std::string> Progress::frame(const TerminalSize& size, Clock::time_point now) const {
  const int columns = usable_columns(size);
  // Beside the blocks: the empty line above them, the last one, and one that the cursor never scrolls away.
  const auto room = static_cast<std::size_t>(std::max(1, size.rows - 3));
  std::vector<int> shown(blocks_.size());
  std::iota(shown.begin(), shown.end(), 0);
  std::string others;
  if (shown.size() > room) {
    const auto is_done = [this](int b) { return blocks_[static_cast<std::size_t>(b)].state == "done"; };
    const auto done = std::count_if(shown.begin(), shown.end(), is_done);
    std::stable_partition(shown.begin(), shown.end(), [&](int b) { return !is_done(b); });
    shown.resize(room - 1);
    others = fmt::format("{} more blocks; {} of all {} are done", blocks_.size() - shown.size(), done, blocks_.size());
    std::sort(shown.begin(), shown.end());
  }

  // The first that has room; the last one is cut.
  constexpr Layout layouts[] = {{20, true, true, true, true},   {20, false, true, true, true},
                                {10, false, true, true, true},  {0, false, true, true, true},
                                {0, false, false, true, true},  {0, false, false, true, false},
                                {0, false, false, false, true}, {0, false, false, false, false}};
  std::vector<std::string> lines;
  for (const Layout& layout : layouts) {
    lines.clear();
    std::size_t longest = 0;
    for (const int b : shown) {
      lines.push_back(line(b, layout));
      longest = std::max(longest, lines.back().size());
    }
    if (longest <= static_cast<std::size_t>(columns)) break;
  }
  if (!others.empty()) lines.push_back(others);
  lines.push_back(last_line(now));
  for (std::string& text : lines) text = fitted(text, columns);
  return lines;
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
  if (terminal_) {
    if (drawn_) text = "\r\x1b[J";  // everything below the cursor goes
    const std::vector<std::string> lines = frame(terminal_(), now);
    for (const std::string& one : lines) text += "\n" + one;
    text += force ? std::string("\n") : fmt::format("\r\x1b[{}A", lines.size());
    drawn_ = !force;
  } else {
    for (int b = 0; b < static_cast<int>(blocks_.size()); ++b) text += line(b, {0, true, true, true, true}) + "\n";
    text += last_line(now) + "\n";
  }
  // A frame that is not taken at once is left out; the next one comes soon.
  write_output(out_, text, std::chrono::milliseconds(0));
}

}  // namespace blocktrain::trainer
