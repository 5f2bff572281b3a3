// Arbitrary bytes as the file of a tokenizer (tokenizer.json, GGUF, SentencePiece): refused with InputError, or texts
// are encoded into ids of the vocabulary, twice the same, and ids are decoded.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/tasks/tokens/tokenizers/read_tokenizer.hpp"

namespace bt = blocktrain::trainer;

namespace {

constexpr std::string_view texts[] = {"", "a",
                                      "ab abc  12345\n\n don't I'LL \xc3\xa9"
                                      "e\xcc\x81 \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 <e>ab<e> \t\r\n x",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabababababababababababab",
                                      "\x01\xc2\x85\xe3\x80\x80\xf4\x8f\xbf\xbf"};

void use(const bt::Tokenizer& tokenizer) {
  check(tokenizer.vocabulary() > 0 && tokenizer.digest().size() == 64 && !tokenizer.description().empty());
  const auto end = tokenizer.end_of_text();
  check(!end || (*end >= 0 && *end < tokenizer.vocabulary()));
  for (const std::string_view text : texts) {
    try {
      std::vector<std::int32_t> once, again;
      tokenizer.encode(text, once);
      tokenizer.encode(text, again);
      check(once == again);
      for (const std::int32_t id : once) check(id >= 0 && id < tokenizer.vocabulary());
      std::string decoded;
      tokenizer.decode(once, decoded);
    } catch (const blocktrain::InputError&) {
    }
  }
  std::string decoded;
  const auto last = static_cast<std::int32_t>(tokenizer.vocabulary() - 1);
  for (const std::int32_t id : {0, last / 2, last}) tokenizer.decode(std::span(&id, 1), decoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    use(*bt::read_tokenizer(std::as_bytes(std::span(bytes, size)), "fuzz"));
  } catch (const blocktrain::InputError& error) {
    check(std::string_view(error.what()).size() < 10000);
  }
  return 0;
}
