#pragma once
/// What `blocktrain generate RUN` is asked for.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace blocktrain::trainer {

struct GenerateArguments {
  std::string run;
  std::string out;  ///< empty: RUN/samples.png, RUN/samples.jsonl
  int count = 0;    ///< 0: what the task makes
  int steps = 0;    ///< 0: what the task takes
  std::uint64_t seed = 0;
  std::vector<std::string> overrides;

  // pictures
  std::vector<int> labels;         ///< classes asked for; empty: all in turn
  std::optional<double> guidance;  ///< none: eval.guidance
  std::string sampler;             ///< empty: eval.sampler
  bool beside_real = false;        ///< draw real images of the same classes to the left
  int scale = 0;                   ///< pixels per pixel; 0: chosen so that the picture is easy to see

  // texts
  std::vector<std::string> prompts;          ///< how they begin, in turn; empty: with nothing
  std::optional<double> temperature, top_p;  ///< none: 1
  std::string order;                         ///< in which masked tokens are found; empty: by chance
};

/// What is asked for of pictures or of texts alone, by option ("--labels").
std::vector<std::string_view> picture_options(const GenerateArguments& arguments);
std::vector<std::string_view> text_options(const GenerateArguments& arguments);

/// Throws InputError, naming the first of `options`, when there is one: what the task makes has nothing of the kind.
void refuse_options(const std::vector<std::string_view>& options, std::string_view made);

}  // namespace blocktrain::trainer
