#pragma once
/// Byte-level BPE: GPT-2, Llama 3, Qwen2, SmolLM2 and their like.

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/tasks/tokens/tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/added_tokens.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_model.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"

namespace blocktrain::trainer {

class BpeTokenizer final : public Tokenizer {
 public:
  /// Throws InputError for parts that do not fit together; checks everything that a file may have got wrong.
  explicit BpeTokenizer(const BpeParts& parts);

  std::int64_t vocabulary() const override { return model_.vocabulary(); }
  void encode(std::string_view text, std::vector<std::int32_t>& out) const override;
  void decode(std::span<const std::int32_t> tokens, std::string& out) const override;
  std::string description() const override;
  std::optional<std::int32_t> end_of_text() const override { return end_of_text_; }
  const std::string& digest() const override { return digest_; }

 private:
  void encode_plain(std::string_view text, std::vector<std::int32_t>& out) const;
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& out) const;

  BpeModel model_;
  AddedTokens added_, added_to_normalized_;
  std::vector<Cut> cuts_;
  bool prefix_space_, cut_by_gpt2_, normal_form_c_;
  std::optional<std::int32_t> end_of_text_;
  std::string origin_, digest_;

  mutable std::mutex mutex_;  ///< for what follows
  mutable BpeModel::Scratch scratch_;
  mutable std::string normalized_, prefixed_;
};

}  // namespace blocktrain::trainer
