#include "trainer/tasks/tokens/token_task.hpp"

#include <memory>
#include <stdexcept>

#include "kernels/error.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/tasks/tokens/token_outline.hpp"
#include "trainer/tasks/tokens/token_report.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::trainer {
namespace {

/// Tokens of a sample: what the architecture looks at.
std::int64_t context_of(const Config& config) {
  const auto context = value_of<std::int64_t>(config, "model.context");
  if (!context) throw std::logic_error("an architecture of tokens has no model.context");
  return *context;
}

class TokenTask : public Task {
 public:
  std::string_view name() const override { return "tokens"; }

  DataOutline outline(const Config& config) const override {
    return outline_tokens(config.data.path, config.task.as<TokensOptions>(), context_of(config));
  }

  std::unique_ptr<Samples> open(const Config& config) const override {
    return std::make_unique<TokenSamples>(TokenDataset::open(config.data.path, config.task.as<TokensOptions>()),
                                          config.data.path, context_of(config));
  }

  std::string description(const DataFacts& facts) const override { return describe_tokens(facts); }

  bool recognizes(const std::string& path) const override {
    try {
      find_token_files(path, TokenFormat::automatic);
    } catch (const DataAbsent&) {
      return false;
    } catch (const InputError&) {
      // Something is there; what is wrong with it says inspect().
    }
    return true;
  }

  DataReport inspect(const std::string& path, const blocks::Options& options) const override {
    return report_tokens(path, options.as<TokensOptions>());
  }

  std::size_t device_bytes(const blocks::Block&, const blocks::SampleLayout&, std::int64_t) const override { return 0; }

  EvalReport evaluate(TrainedNetwork&, TrainedNetwork*, EvalProgress&) const override {
    throw InputError(
        "eval: the quality of networks of tokens is not measured yet; eval.every_steps gives held-out losses "
        "while they train");
  }
};

}  // namespace

const Task& token_task() {
  static const TokenTask task;
  return task;
}

}  // namespace blocktrain::trainer
