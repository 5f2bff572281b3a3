#pragma once
/// Windows of tokens as a network takes them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/data/samples.hpp"
#include "trainer/tasks/tokens/token_dataset.hpp"
#include "trainer/tasks/tokens/token_windows.hpp"

namespace blocktrain::trainer {

/// Place of the field in a batch.
inline constexpr std::size_t tokens_field = 0;

/// What a sample is made of: `context` tokens, all of them targets.
inline blocks::SampleLayout token_layout(std::int64_t context, std::int64_t vocabulary) {
  return {{{"tokens", kernels::DType::int32, {context}}}, context, vocabulary};
}

class TokenSamples : public Samples {
 public:
  /// `path`: where the data lie, as it was given. Throws InputError where a split has no window of `context` tokens, or
  /// more than samples can be.
  TokenSamples(TokenDataset data, std::string path, std::int64_t context);

  const TokenDataset& dataset() const { return data_; }
  const TokenWindows& windows(Split split) const { return split == Split::train ? train_ : heldout_; }
  /// A window of a split without offset: `out` of context tokens.
  void window(Split split, std::int64_t index, std::span<std::int32_t> out) const;

  DataFacts facts() const override;
  blocks::SampleLayout layout() const override { return token_layout(train_.length(), data_.vocabulary()); }
  std::vector<std::int64_t> class_counts() const override;
  std::int64_t count(Split split) const override { return windows(split).count(); }
  void fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
            const std::optional<TrainingKey>& training) const override;
  std::optional<std::int64_t> distinct_targets(const SampleOrder& order, std::int64_t visits) const override {
    return train_.distinct_tokens(order, visits);
  }
  std::vector<std::string> touched() const override { return data_.touched(); }
  std::vector<std::string> notes() const override;

 private:
  void copy(Split split, std::int64_t place, std::span<std::int32_t> out) const;

  TokenDataset data_;
  std::string path_;
  TokenWindows train_, heldout_;
};

/// Throws InputError where a split of so many tokens has no window, or more than samples can be.
void require_windows(const std::string& where, const TokenWindows& windows, Split split, std::int64_t tokens,
                     bool heldout_is_cut);

/// The samples of this task behind an interface that knows none.
const TokenSamples& token_samples_of(const Samples& samples);

/// "1,003,854 tokens (bytes) in 15,684 windows of 64, 111,540 held out".
std::string describe_tokens(const DataFacts& facts);

/// 1234567 as "1,234,567".
std::string grouped(std::int64_t number);

}  // namespace blocktrain::trainer
