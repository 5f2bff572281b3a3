#include "trainer/tasks/generate_arguments.hpp"

#include <fmt/format.h>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

struct Option {
  std::string_view name;
  bool given;
};

std::vector<std::string_view> given(std::initializer_list<Option> options) {
  std::vector<std::string_view> names;
  for (const Option& option : options) {
    if (option.given) names.push_back(option.name);
  }
  return names;
}

}  // namespace

std::vector<std::string_view> picture_options(const GenerateArguments& a) {
  return given({{"--labels", !a.labels.empty()},
                {"--guidance", a.guidance.has_value()},
                {"--sampler", !a.sampler.empty()},
                {"--beside-real", a.beside_real},
                {"--scale", a.scale != 0}});
}

std::vector<std::string_view> text_options(const GenerateArguments& a) {
  return given({{"--prompt", !a.prompts.empty()},
                {"--temperature", a.temperature.has_value()},
                {"--top-p", a.top_p.has_value()},
                {"--order", !a.order.empty()}});
}

void refuse_options(const std::vector<std::string_view>& options, std::string_view made) {
  if (options.empty()) return;
  throw InputError(fmt::format("{}: this run makes {}, which know no such thing; leave it out", options.front(), made));
}

}  // namespace blocktrain::trainer
