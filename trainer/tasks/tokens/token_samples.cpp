#include "trainer/tasks/tokens/token_samples.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
TokenSamples::TokenSamples(TokenDataset data, std::string path, std::int64_t context)
    : data_(std::move(data)),
      path_(std::move(path)),
      train_(data_.split(Split::train), data_.apart(), context, Split::train),
      heldout_(data_.split(Split::heldout), data_.apart(), context, Split::heldout) {
  for (const Split split : {Split::train, Split::heldout}) {
    require_windows(data_.where(), windows(split), split, data_.split(split).tokens(), data_.heldout_is_cut());
  }
}

void TokenSamples::copy(Split split, std::int64_t place, std::span<std::int32_t> out) const {
  data_.copy(split, place, out);
  const auto limit = static_cast<std::uint32_t>(data_.vocabulary());
  const auto wrong =
      std::ranges::find_if(out, [&](std::int32_t id) { return static_cast<std::uint32_t>(id) >= limit; });
  if (wrong == out.end()) return;
  // All were checked when the data were opened, so the file is not what it was; and nobody looks up what there is not.
  data_.require_unchanged();
  throw RunError("a token of the data changed to " + std::to_string(*wrong) + " while it was in use");
}

void TokenSamples::window(Split split, std::int64_t index, std::span<std::int32_t> out) const {
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(out.size()) == train_.length());
  copy(split, windows(split).begin(index), out);
  data_.require_unchanged();
}

void TokenSamples::fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
                        const std::optional<TrainingKey>& training) const {
  const kernels::Tensor& tokens = batch.fields[tokens_field];
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(indices.size()) == tokens.dim(0));
  BLOCKTRAIN_EXPECTS(tokens.row_size() == train_.length());
  BLOCKTRAIN_EXPECTS(!training || training->passes.empty() || training->passes.size() == indices.size());
  BLOCKTRAIN_EXPECTS(!training || split == Split::train);
  const TokenWindows& windows = this->windows(split);
  std::int32_t* out = tokens.as<std::int32_t>();
  for (std::size_t row = 0; row < indices.size(); ++row) {
    const std::uint64_t pass = training && !training->passes.empty() ? training->passes[row] : 0;
    const std::int64_t place =
        training ? windows.begin(indices[row], training->seed, pass) : windows.begin(indices[row]);
    copy(split, place, {out, static_cast<std::size_t>(windows.length())});
    out += tokens.row_stride;
  }
  // After they were read: nothing is made of what was not there in the beginning.
  data_.require_unchanged();
}

std::vector<std::int64_t> TokenSamples::class_counts() const {
  std::vector<std::int64_t> counts = data_.counts(Split::train);
  data_.require_unchanged();
  return counts;
}

DataFacts TokenSamples::facts() const {
  DataFacts f;
  f.path = path_;
  f.digest = data_.digest();
  f.layout = layout();
  f.training_samples = count(Split::train);
  f.heldout_samples = count(Split::heldout);
  f.training_targets = data_.split(Split::train).tokens();
  f.heldout_targets = data_.split(Split::heldout).tokens();
  f.symbols = data_.symbols();
  data_.require_unchanged();
  return f;
}

std::vector<std::string> TokenSamples::notes() const {
  std::vector<std::string> notes = data_.notes();
  for (const Split split : {Split::train, Split::heldout}) {
    const TokenWindows& w = windows(split);
    if (w.short_stretches() == 0) continue;
    notes.push_back(fmt::format(
        "data path {}: left out {} documents of the {} part, {:.1f}% of its tokens, that are "
        "shorter than a window of {} (data.documents apart)",
        data_.where(), grouped(w.short_stretches()), to_string(split),
        100 * static_cast<double>(w.short_tokens()) / static_cast<double>(data_.split(split).tokens()), w.length()));
  }
  return notes;
}

void require_windows(const std::string& where, const TokenWindows& windows, Split split, std::int64_t tokens,
                     bool heldout_is_cut) {
  const std::string which = "data path " + where + ": the " + std::string(to_string(split)) + " part has ";
  const std::string length = std::to_string(windows.length());
  if (windows.count() > most_samples) {
    throw InputError(which + grouped(windows.count()) + " windows of " + length +
                     " tokens (model.context); accepted: at most " + grouped(most_samples));
  }
  if (windows.count() > 0) return;
  if (windows.apart() && windows.short_stretches() > 0) {
    throw InputError(which + grouped(windows.short_stretches()) + " documents, none of them as long as one window of " +
                     length + " tokens (model.context); accepted: longer ones, a smaller model.context, or " +
                     "data.documents joined");
  }
  throw InputError(which + grouped(tokens) + " tokens, fewer than one window of " + length +
                   " (model.context); accepted: a longer text, a smaller model.context" +
                   (heldout_is_cut ? ", or another data.heldout" : ""));
}

const TokenSamples& token_samples_of(const Samples& samples) {
  const auto* tokens = dynamic_cast<const TokenSamples*>(&samples);
  BLOCKTRAIN_EXPECTS(tokens != nullptr);
  return *tokens;
}

std::string describe_tokens(const DataFacts& facts) {
  return fmt::format("{} tokens ({}) in {} windows of {}, {} held out", grouped(facts.training_targets), facts.symbols,
                     grouped(facts.training_samples), facts.layout.targets, grouped(facts.heldout_targets));
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > (number < 0 ? 4u : 3u);) digits.insert(at -= 3, ",");
  return digits;
}

}  // namespace blocktrain::trainer
