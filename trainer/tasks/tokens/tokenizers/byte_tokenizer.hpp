#pragma once
/// Bytes as tokens: id n is the byte n.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer {

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer();

  std::int64_t vocabulary() const override { return 256; }
  void encode(std::string_view text, std::vector<std::int32_t>& out) const override;
  void decode(std::span<const std::int32_t> tokens, std::string& out) const override;
  std::string description() const override { return "bytes"; }
  std::optional<std::int32_t> end_of_text() const override { return std::nullopt; }
  const std::string& digest() const override { return digest_; }

 private:
  std::string digest_;
};

}  // namespace blocktrain::trainer
