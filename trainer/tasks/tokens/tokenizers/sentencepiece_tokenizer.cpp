#include "trainer/tasks/tokens/tokenizers/sentencepiece_tokenizer.hpp"

#include <sentencepiece_processor.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/tasks/tokens/tokenizers/for_messages.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_check.hpp"
#include "trainer/tasks/tokens/tokenizers/unicode.hpp"

namespace blocktrain::trainer {
namespace {

/// The library counts bytes in int, and keeps some hundred bytes of memory for each.
constexpr std::size_t most_text_bytes = std::size_t{1} << 28;

/// Makes a call of the library, which says by its status what is wrong, and at times by an exception.
template <class Call>
void call(const std::string& failed, Call&& of_library) {
  std::string reason;
  try {
    const auto status = of_library();
    if (status.ok()) return;
    reason = status.ToString();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    reason = error.what();
  }
  throw InputError(failed + ": " + reason);
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::span<const std::byte> model, const std::string& path)
      : origin_(std::filesystem::path(path).filename().string()), digest_(sha256_hex(model)) {
    const std::string_view bytes(reinterpret_cast<const char*>(model.data()), model.size());
    call("tokenizer " + path + ": is no SentencePiece model that the library reads",
         [&] { return processor_.LoadFromSerializedProto(bytes); });
    pieces_ = processor_.GetPieceSize();
  }

  std::int64_t vocabulary() const override { return pieces_; }

  void encode(std::string_view text, std::vector<std::int32_t>& out) const override {
    require_utf8(text);
    if (text.size() > most_text_bytes) {
      throw InputError("a text of " + std::to_string(text.size()) + " bytes; accepted by SentencePiece: at most " +
                       std::to_string(most_text_bytes) + " at a time: divide it into documents");
    }
    std::vector<int> ids;
    call(origin_ + ": cannot encode a text", [&] { return processor_.Encode(text, &ids); });
    out.insert(out.end(), ids.begin(), ids.end());
  }

  void decode(std::span<const std::int32_t> tokens, std::string& out) const override {
    for (const std::int32_t token : tokens) require_token(token, pieces_, origin_);
    const std::vector<int> ids(tokens.begin(), tokens.end());
    std::string text;
    call(origin_ + ": cannot decode tokens", [&] { return processor_.Decode(ids, &text); });
    out += text;
  }

  std::string description() const override {
    return "SentencePiece of " + std::to_string(pieces_) + " tokens, " + origin_;
  }

  std::optional<std::int32_t> end_of_text() const override {
    const int id = processor_.eos_id();
    if (id < 0 || id >= pieces_) return std::nullopt;
    return id;
  }

  const std::string& digest() const override { return digest_; }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  int pieces_ = 0;
  std::string origin_, digest_;
};

}  // namespace

bool sentencepiece_is_there() { return true; }

std::unique_ptr<Tokenizer> read_sentencepiece(std::span<const std::byte> model, const std::string& path) {
  if (const auto fault = sentencepiece_fault(model)) throw InputError("tokenizer " + path + ": " + *fault);
  return std::make_unique<SentencePieceTokenizer>(model, path);
}

}  // namespace blocktrain::trainer
