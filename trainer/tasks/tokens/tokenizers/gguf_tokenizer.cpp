#include "trainer/tasks/tokens/tokenizers/gguf_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/support/text.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/for_messages.hpp"

namespace blocktrain::trainer {
namespace {

/// What a name in tokenizer.ggml.pre stands for.
struct PreTokenizer {
  const char* name;
  std::optional<Cut> cut;
  bool cut_by_gpt2, normal_form_c, whole_pieces_first;
};

constexpr std::array pre_tokenizers{
    PreTokenizer{"gpt-2", std::nullopt, true, false, false},
    PreTokenizer{"smollm", Cut::each_number, true, false, false},
    PreTokenizer{"starcoder", Cut::each_number, true, false, false},
    PreTokenizer{"llama-bpe", Cut::llama3, false, false, true},
    PreTokenizer{"llama3", Cut::llama3, false, false, true},
    PreTokenizer{"qwen2", Cut::qwen2, false, true, false},
};

constexpr std::int64_t control = 3, of_user = 4;

class Reader {
 public:
  Reader(const GgufFile& file, const std::string& path) : file_(file), place_("tokenizer " + path) {}

  BpeParts read() const {
    const auto model = file_.text("tokenizer.ggml.model");
    if (!model) fail("has no tokenizer (no tokenizer.ggml.model)");
    if (*model != "gpt2") fail("tokenizer.ggml.model: found " + quoted_token(*model) + "; accepted: gpt2");
    BpeParts parts;
    parts.place = place_;
    read_tokens(parts);
    read_merges(parts);
    read_cuts(parts);
    // A file may say that there is none by an id that no token has.
    const auto end = file_.integer("tokenizer.ggml.eos_token_id");
    if (end && *end >= 0 && *end < static_cast<std::int64_t>(parts.tokens.size())) {
      parts.end_of_text = static_cast<std::int32_t>(*end);
    }
    parts.digest = digest();
    return parts;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(place_ + ": " + what); }

  void read_tokens(BpeParts& parts) const {
    const auto tokens = file_.texts("tokenizer.ggml.tokens");
    if (!tokens || tokens->empty()) fail("has no tokenizer.ggml.tokens");
    if (static_cast<std::int64_t>(tokens->size()) > most_tokens) {
      fail("tokenizer.ggml.tokens: found " + std::to_string(tokens->size()) + "; accepted: at most " +
           std::to_string(most_tokens));
    }
    const auto types = file_.integers("tokenizer.ggml.token_type");
    if (types && types->size() != tokens->size()) {
      fail("tokenizer.ggml.token_type: found " + std::to_string(types->size()) +
           " of them; accepted: one for each of " + std::to_string(tokens->size()) + " tokens");
    }
    parts.tokens.assign(tokens->begin(), tokens->end());
    for (std::size_t id = 0; types && id < types->size(); ++id) {
      if ((*types)[id] != control && (*types)[id] != of_user) continue;
      AddedToken added;
      added.id = static_cast<std::int32_t>(id);
      added.text = parts.tokens[id];
      parts.added.push_back(std::move(added));
    }
  }

  void read_merges(BpeParts& parts) const {
    const auto merges = file_.texts("tokenizer.ggml.merges");
    if (!merges) fail("has no tokenizer.ggml.merges");
    parts.merges.reserve(merges->size());
    for (const std::string_view merge : *merges) {
      const std::size_t blank = merge.find(' ');
      if (blank == std::string_view::npos || merge.find(' ', blank + 1) != std::string_view::npos) {
        fail("tokenizer.ggml.merges: found " + quoted_token(merge) +
             "; accepted: two tokens with a blank between them");
      }
      parts.merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
    }
  }

  void read_cuts(BpeParts& parts) const {
    const auto name = file_.text("tokenizer.ggml.pre");
    const auto* found = std::find_if(pre_tokenizers.begin(), pre_tokenizers.end(),
                                     [&](const PreTokenizer& p) { return name && *name == p.name; });
    if (found == pre_tokenizers.end()) {
      std::vector<std::string_view> names;
      for (const PreTokenizer& known : pre_tokenizers) names.emplace_back(known.name);
      fail("tokenizer.ggml.pre: found " + (name ? quoted_token(*name) : std::string("none")) +
           "; accepted: " + join(names));
    }
    if (found->cut) parts.cuts.push_back(*found->cut);
    parts.cut_by_gpt2 = found->cut_by_gpt2;
    parts.normal_form_c = found->normal_form_c;
    parts.whole_pieces_first = found->whole_pieces_first;
    parts.prefix_space = file_.boolean("tokenizer.ggml.add_space_prefix").value_or(false);
  }

  std::string digest() const {
    Sha256 sha;
    for (const auto& [key, value] : file_.metadata()) {
      if (!key.starts_with("tokenizer.ggml.")) continue;
      sha.update(std::as_bytes(std::span(key)));
      sha.update(value.bytes);
    }
    return sha.hex();
  }

  const GgufFile& file_;
  std::string place_;
};

}  // namespace

std::unique_ptr<Tokenizer> read_gguf_tokenizer(const GgufFile& file, const std::string& path) {
  BpeParts parts = Reader(file, path).read();
  parts.origin = std::filesystem::path(path).filename().string();
  return std::make_unique<BpeTokenizer>(parts);
}

}  // namespace blocktrain::trainer
