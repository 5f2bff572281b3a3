#pragma once
/// What `blocktrain generate RUN` is asked for.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace blocktrain::trainer {

struct GenerateArguments {
  std::string run;
  std::string out;          ///< PNG; empty: RUN/samples.png
  std::vector<int> labels;  ///< classes asked for; empty: all in turn
  int count = 64;
  int steps = 0;                   ///< 0: the last of eval.steps
  std::optional<double> guidance;  ///< none: eval.guidance
  std::string sampler;             ///< empty: eval.sampler
  std::uint64_t seed = 0;
  bool beside_real = false;  ///< draw real images of the same classes to the left
  int scale = 0;             ///< pixels per pixel; 0: chosen so that the picture is easy to see
  std::vector<std::string> overrides;
};

}  // namespace blocktrain::trainer
