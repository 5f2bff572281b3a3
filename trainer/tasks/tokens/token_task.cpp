#include "trainer/tasks/tokens/token_task.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "kernels/error.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/eval/heldout_losses.hpp"
#include "trainer/tasks/tokens/masked_generator.hpp"
#include "trainer/tasks/tokens/token_eval_file.hpp"
#include "trainer/tasks/tokens/token_generation.hpp"
#include "trainer/tasks/tokens/token_outline.hpp"
#include "trainer/tasks/tokens/token_report.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::trainer {
namespace {

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

  std::size_t device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout,
                           std::int64_t batch) const override {
    return std::max(MaskedGenerator::device_bytes(block, layout, batch), HeldoutLosses::device_bytes(layout, batch));
  }

  EvalReport evaluate(TrainedNetwork& run, TrainedNetwork* twin, EvalProgress& progress) const override {
    const TokenEvalResult result = evaluate_tokens(run, twin, progress);
    if (!run.ranks().leads()) return {};
    return {to_json(result), to_table(result), ledger_row(result)};
  }

  bool generates() const override { return true; }

  void generate(TrainedNetwork& network, const GenerateArguments& arguments) const override {
    generate_text(network, arguments);
  }
};

}  // namespace

const Task& token_task() {
  static const TokenTask task;
  return task;
}

}  // namespace blocktrain::trainer
