#pragma once
/// What messages of tokenizers say of tokens.

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/error.hpp"
#include "trainer/support/utf8.hpp"

namespace blocktrain::trainer {

/// The beginning of a text that a file gives, fit for a terminal: 'word'.
inline std::string quoted_token(std::string_view text) { return "'" + for_terminal(text.substr(0, 100)) + "'"; }

/// Throws InputError when `token` is none of the `vocabulary` ids of the tokenizer from `origin`.
inline void require_token(std::int32_t token, std::int64_t vocabulary, const std::string& origin) {
  if (token >= 0 && token < vocabulary) return;
  throw InputError("token " + std::to_string(token) + ": is not in the vocabulary of " + origin + "; accepted: 0 to " +
                   std::to_string(vocabulary - 1));
}

}  // namespace blocktrain::trainer
