#include "trainer/tasks/tokens/token_evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numbers>
#include <string>

#include "trainer/tasks/tokens/token_samples.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::trainer {
namespace {

/// Of the windows that HeldoutLosses measures.
std::optional<TextSize> text_size(const TokenSamples& data, std::int64_t windows) {
  const Tokenizer* tokenizer = data.dataset().tokenizer();
  if (tokenizer == nullptr) return std::nullopt;
  TextSize size;
  const std::int64_t all = data.count(Split::heldout), n = data.layout().targets;
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  std::string text;
  for (std::int64_t i = 0; i < windows; ++i) {
    data.window(Split::heldout, spread_sample(i, windows, all), tokens);
    text.clear();
    tokenizer->decode(tokens, text);
    size.tokens += n;
    size.bytes += static_cast<std::int64_t>(text.size());
    // What begins a code point in UTF-8.
    size.characters += std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
  }
  return size;
}

std::optional<double> bits_per(double nats_per_token, std::int64_t tokens, std::int64_t units) {
  if (units == 0) return std::nullopt;
  return nats_per_token / std::numbers::ln2 * static_cast<double>(tokens) / static_cast<double>(units);
}

}  // namespace

std::optional<double> TokenEvalResult::bits_per_byte(double nats_per_token) const {
  return text ? bits_per(nats_per_token, text->tokens, text->bytes) : std::nullopt;
}

std::optional<double> TokenEvalResult::bits_per_character(double nats_per_token) const {
  return text ? bits_per(nats_per_token, text->tokens, text->characters) : std::nullopt;
}

TokenEvalResult evaluate_tokens(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Config& config = run.config();
  std::unique_ptr<Samples> data;
  run.ranks().together([&] { data = run.open_data(); });
  TokenEvalResult result;
  static_cast<EvalHead&>(result) = eval_head(run, *data);
  result.seed = config.seed;
  result.context = run.data().layout.targets;
  result.vocabulary = run.data().layout.classes;
  const int draws = config.task.as<TokensOptions>().draws;

  const auto measure = [&](TrainedNetwork& network, const char* name) {
    TokenNetworkResult r;
    static_cast<EvaluatedNetwork&>(r) = evaluated_network(network);
    r.bound = measure_masked_bound(network, *data, config, config.eval.heldout, draws,
                                   progress.phase(fmt::format("{}: finding masked tokens of held-out text", name)));
    return r;
  };
  result.run = measure(run, twin != nullptr ? "run" : "network");
  if (twin != nullptr) result.twin.push_back(measure(*twin, "twin"));
  if (run.ranks().leads()) result.text = text_size(token_samples_of(*data), result.run.bound.windows);
  progress.end();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace blocktrain::trainer
