#include "trainer/tasks/tokens/token_generation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/support/file_system.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/support/whole_file.hpp"
#include "trainer/tasks/tokens/masked_generator.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int default_count = 4;

/// Files of samples: lines of JSON that begin with one.
const FileKind& samples_kind() {
  static constexpr FileKind kind{"texts that blocktrain generated", [](const std::string& path) {
                                   return beginning_of(path, 12).starts_with("{\"sample\":");
                                 }};
  return kind;
}

UnmaskingSettings settings_of(const GenerateArguments& a) {
  UnmaskingSettings s;
  s.temperature = a.temperature.value_or(1);
  s.top_p = a.top_p.value_or(1);
  s.seed = a.seed;
  if (!a.order.empty()) s.order = option_named<UnmaskingOrder>("--order", a.order);
  return s;
}

/// What the run's ids stand for; null where files of ids said nothing of it.
std::unique_ptr<Tokenizer> tokenizer_of(const TokensOptions& options, const DataFacts& data) {
  std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(options.tokenizer);
  // Ids without a tokenizer leave the key at bytes; data.json tells them apart (symbols_of()).
  if (options.takes_bytes() && data.symbols != tokenizer->description()) return nullptr;
  return tokenizer;
}

/// The prompts as tokens; one that is empty where none is given.
std::vector<TokenPrompt> prompts_of(const GenerateArguments& a, const Tokenizer* tokenizer,
                                    const blocks::SampleLayout& layout) {
  if (tokenizer == nullptr && !a.prompts.empty()) {
    throw InputError(
        "--prompt: the run was trained on files of ids without a tokenizer, so no text can be told; accepted: no "
        "prompt");
  }
  std::vector<TokenPrompt> prompts;
  for (const std::string& text : a.prompts) {
    TokenPrompt& prompt = prompts.emplace_back();
    tokenizer->encode(text, prompt);
    if (static_cast<std::int64_t>(prompt.size()) >= layout.targets) {
      throw InputError(
          fmt::format("--prompt: found {} tokens ('{}'); accepted: at most {}, for the network makes texts of "
                      "{} tokens (model.context), the prompt included",
                      prompt.size(), printable(text), layout.targets - 1, layout.targets));
    }
    kernels::check_indices(prompt, layout.classes);
  }
  if (prompts.empty()) prompts.emplace_back();
  return prompts;
}

/// Bits per token of what was drawn, each by its share: how uniform the texts are, which a good likelihood alone does
/// not tell.
double entropy(std::span<const std::int32_t> tokens, std::int64_t vocabulary) {
  std::vector<double> counts(static_cast<std::size_t>(vocabulary));
  for (const std::int32_t token : tokens) ++counts[static_cast<std::size_t>(token)];
  double bits = 0;
  for (const double n : counts) {
    const double share = n / static_cast<double>(tokens.size());
    if (share > 0) bits -= share * std::log2(share);
  }
  return bits;
}

}  // namespace

void generate_text(TrainedNetwork& network, const GenerateArguments& arguments) {
  const std::string out = arguments.out.empty() ? arguments.run + "/samples.jsonl" : arguments.out;
  EvaluationRanks& ranks = network.ranks();
  const blocks::SampleLayout& layout = network.data().layout;
  const int count = arguments.count > 0 ? arguments.count : default_count;
  const int steps = arguments.steps > 0 ? arguments.steps : static_cast<int>(layout.targets);
  std::unique_ptr<Tokenizer> tokenizer;
  UnmaskingSettings settings;
  std::vector<TokenPrompt> prompts;
  ranks.together([&] {
    if (ranks.leads()) require_writable(out, "--out", samples_kind());
    refuse_options(picture_options(arguments), "texts");
    settings = settings_of(arguments);
    tokenizer = tokenizer_of(network.config().task.as<TokensOptions>(), network.data());
    if (tokenizer) settings.drawn = std::min(layout.classes, tokenizer->vocabulary());
    prompts = prompts_of(arguments, tokenizer.get(), layout);
    if (ranks.leads()) print_warnings(network);
  });

  MaskedGenerator generator(network);
  const GeneratedWindows made = generator.generate(prompts, count, steps, settings);
  ranks.finish();

  ranks.together([&] {
    if (!ranks.leads()) return;
    WholeFile file(out, "--out", samples_kind());
    const auto n = static_cast<std::size_t>(layout.targets);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const std::span tokens = std::span(made.tokens).subspan(i * n, n);
      std::string text = tokenizer ? std::string() : join(tokens, " ");
      if (tokenizer) tokenizer->decode(tokens, text);
      Json row;
      row["sample"] = i;
      row["prompt"] = arguments.prompts.empty() ? "" : arguments.prompts[i % arguments.prompts.size()];
      row["text"] = text;
      row["tokens"] = tokens;
      const std::string line = row.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
      file.write(std::as_bytes(std::span(line)));
      show("--- text {} of {}\n{}\n", i + 1, count, for_terminal(text));
    }
    file.commit();
    show("\n{}: {} texts of {} tokens by {}; the tokens' entropy is {:.2f} bits\n", out, count, layout.targets,
         network.summary(), entropy(made.tokens, layout.classes));
    show("{} steps, order by {}, temperature {}, top-p {}, seed {}; {} FLOPs and {:.3g} s per text on {}\n", steps,
         name_of(settings.order), settings.temperature, settings.top_p, settings.seed,
         ::blocktrain::trainer::count(made.flops_per_window), made.seconds_per_window, network.computed_by());
  });
}

}  // namespace blocktrain::trainer
