#pragma once
/// What a user sees while a run trains: one line per block, redrawn in place on a terminal, or plain lines at
/// intervals when the output goes to a file.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace blocktrain::trainer {

/// Latest known state of a block.
struct BlockProgress {
  std::int64_t step = 0, steps = 0;  ///< updates made, updates asked for
  double loss = 0;                   ///< smoothed over recent steps
  double tokens_per_second = 0;      ///< over the last seconds
  double sigma_lo = 0, sigma_hi = 0;
  std::string state;  ///< "", "waiting", "done", "stopped", "failed"
};

class Progress {
 public:
  /// Lines go to `out`; they are redrawn in place when `terminal`.
  Progress(std::FILE* out, bool terminal, int blocks);

  /// A step of `block` was finished at `now`.
  void step(int block, std::int64_t step, std::int64_t steps, double loss, std::int64_t tokens, double sigma_lo,
            double sigma_hi, std::chrono::steady_clock::time_point now);
  void set_state(int block, const std::string& state);
  /// Says how many joules were measured so far, or why none are ("joules: none (...)").
  void set_energy(const std::string& text) { energy_ = text; }

  /// Draws when it is time to: twice a second on a terminal, every ten seconds otherwise; always with `force`.
  void draw(std::chrono::steady_clock::time_point now, bool force = false);

 private:
  struct Rate {
    std::chrono::steady_clock::time_point since;
    std::int64_t tokens = 0;
    std::int64_t first_step = -1;
    std::chrono::steady_clock::time_point first_time;
  };
  std::string line(int block) const;
  std::string time_left() const;

  std::FILE* out_;
  bool terminal_;
  int drawn_lines_ = 0;
  std::vector<BlockProgress> blocks_;
  std::vector<Rate> rates_;
  std::string energy_;
  std::chrono::steady_clock::time_point last_draw_{};
  std::chrono::steady_clock::time_point started_;
};

}  // namespace blocktrain::trainer
