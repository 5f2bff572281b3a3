#pragma once
/// What the tests of trainer/tasks/tokens share: fresh folders, files of ids, and a tokenizer that can be checked by
/// hand.

#include <algorithm>
#include <cctype>
#include <map>

#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/tasks/tokens/token_dataset.hpp"

namespace blocktrain::trainer::test {

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

/// Ids of 16 bits.
inline Bytes ids16(const std::vector<int>& ids) {
  Bytes file;
  for (const int id : ids) {
    file.push_back(static_cast<std::uint8_t>(id & 0xff));
    file.push_back(static_cast<std::uint8_t>(id >> 8));
  }
  return file;
}

/// The header of llm.c with what it announces, and the ids.
inline Bytes llmc(const std::vector<int>& ids, std::int64_t count, std::uint32_t magic = 20240520,
                  std::uint32_t version = 1) {
  Bytes file(1024);
  std::size_t at = 0;
  for (const std::uint32_t n : {magic, version, static_cast<std::uint32_t>(count)}) {
    for (int shift = 0; shift < 32; shift += 8) file[at++] = static_cast<std::uint8_t>(n >> shift);
  }
  const Bytes behind = ids16(ids);
  file.insert(file.end(), behind.begin(), behind.end());
  return file;
}
inline Bytes llmc(const std::vector<int>& ids) { return llmc(ids, static_cast<std::int64_t>(ids.size())); }

/// first, first + 1, ... last.
inline std::vector<int> from_to(int first, int last) {
  std::vector<int> ids;
  for (int i = first; i <= last; ++i) ids.push_back(i);
  return ids;
}

/// Words of letters are tokens, and so is every other byte: each the id under which it came first, above an end of text
/// 0.
class WordTokenizer final : public Tokenizer {
 public:
  explicit WordTokenizer(std::int64_t vocabulary = 70000, bool ends = true) : vocabulary_(vocabulary), ends_(ends) {}

  std::int64_t vocabulary() const override { return vocabulary_; }
  void encode(std::string_view text, std::vector<std::int32_t>& out) const override {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = at;
      while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end])) != 0) ++end;
      end = std::max(end, at + 1);
      const auto [word, is_new] = ids_.emplace(text.substr(at, end - at), static_cast<std::int32_t>(ids_.size()) + 1);
      out.push_back(word->second);
      at = end;
    }
  }
  void decode(std::span<const std::int32_t> tokens, std::string& out) const override {
    for (const std::int32_t id : tokens) {
      const auto word = std::ranges::find_if(ids_, [&](const auto& entry) { return entry.second == id; });
      out += word == ids_.end() ? "<end>" : word->first;
    }
  }
  std::string description() const override { return "words"; }
  std::optional<std::int32_t> end_of_text() const override { return ends_ ? std::optional(0) : std::nullopt; }
  const std::string& digest() const override { return digest_; }

 private:
  std::int64_t vocabulary_;
  bool ends_;
  mutable std::map<std::string, std::int32_t, std::less<>> ids_;
  std::string digest_ = sha256_hex(std::string_view("words"));
};

/// All tokens of a split.
inline std::vector<std::int32_t> tokens_of(const TokenDataset& data, Split split) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(data.split(split).tokens()));
  data.copy(split, 0, tokens);
  return tokens;
}

/// The same as text, of data of bytes.
inline std::string text_of(const TokenDataset& data, Split split) {
  std::string text;
  data.tokenizer()->decode(tokens_of(data, split), text);
  return text;
}

/// Opens files as a tokenizer of the test's makes tokens of them.
inline TokenDataset open_with(const fs::path& path, TokenDataOptions options,
                              std::shared_ptr<const Tokenizer> tokenizer,
                              LookForDocuments look = LookForDocuments::where_needed) {
  options.tokenizer = "of a test";
  return TokenDataset::assemble(find_token_files(path, options.format), options, std::move(tokenizer), map_token_file,
                                look);
}

}  // namespace blocktrain::trainer::test
