#include "trainer/tasks/tokens/tokenizers/byte_tokenizer.hpp"

#include "kernels/error.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {

ByteTokenizer::ByteTokenizer() : digest_(sha256_hex(std::string_view("bytes"))) {}

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& out) const {
  out.reserve(out.size() + text.size());
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
}

void ByteTokenizer::decode(std::span<const std::int32_t> tokens, std::string& out) const {
  out.reserve(out.size() + tokens.size());
  for (const std::int32_t token : tokens) {
    if (token < 0 || token > 255) {
      throw InputError("token " + std::to_string(token) + ": is no byte; accepted: 0 to 255");
    }
    out.push_back(static_cast<char>(token));
  }
}

}  // namespace blocktrain::trainer
