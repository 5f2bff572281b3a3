#pragma once
/// What a user sees while a run trains: one line per block, redrawn in place on a terminal, or plain lines at
/// intervals when the output goes to a file.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "trainer/ledger/records.hpp"
#include "trainer/support/terminal.hpp"

namespace blocktrain::trainer {

enum class ProgressStyle : std::uint8_t { live, plain, none };

/// Latest known state of a block.
struct BlockProgress {
  std::int64_t step = 0, steps = 0;  ///< updates made, updates asked for
  double loss = 0;                   ///< smoothed over recent steps
  double tokens_per_second = 0;      ///< over the last seconds
  double level_lo = 0, level_hi = 0;
  std::string state;  ///< "", "waiting", "done", "stopped", "failed"
};

class Progress {
 public:
  /// Lines go to `out`; they are redrawn in place where `terminal` tells the size of one, which is asked for at every
  /// frame. A frame is never wider or higher than the terminal: what there is no room for is left out. With `masks`
  /// noise levels are shares of masked tokens, not sigma.
  Progress(std::FILE* out, AskTerminalSize terminal, int blocks, bool masks = false);

  /// A step of its block was finished at `now`, of `steps`.
  void step(const StepRecord& record, std::int64_t steps, std::chrono::steady_clock::time_point now);
  void set_state(int block, const std::string& state);
  /// Says how many joules were measured so far, or why none are ("joules: none (...)").
  void set_energy(const std::string& text) { energy_ = text; }

  /// Draws when it is time to: twice a second on a terminal, every ten seconds otherwise. With `force` always, and what
  /// is printed next stands below it. Otherwise the cursor rests on an empty line above the frame, which is where
  /// others' lines go meanwhile, and from where the next frame is drawn: the place survives a change of the terminal's
  /// size.
  void draw(std::chrono::steady_clock::time_point now, bool force = false);

 private:
  struct Rate {
    std::chrono::steady_clock::time_point since;
    std::int64_t tokens = 0;
    std::int64_t first_step = -1;
    std::chrono::steady_clock::time_point first_time;
  };
  struct Layout {
    int bar;
    bool level, rate, loss, share;
  };
  std::string line(int block, const Layout& layout) const;
  std::string last_line(std::chrono::steady_clock::time_point now) const;
  std::string time_left() const;
  /// The lines for a terminal of that size.
  std::vector<std::string> frame(const TerminalSize& size, std::chrono::steady_clock::time_point now) const;

  std::FILE* out_;
  AskTerminalSize terminal_;
  bool masks_;
  bool drawn_ = false;  ///< a frame stands below the cursor
  std::vector<BlockProgress> blocks_;
  std::vector<Rate> rates_;
  std::string energy_;
  std::chrono::steady_clock::time_point last_draw_{};
  std::chrono::steady_clock::time_point started_;
};

}  // namespace blocktrain::trainer
