// SentencePiece models: as the original program encodes; damaged and hostile ones are refused before the library has
// them.

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_check.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_tokenizer.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string fault(const std::string& model) { return sentencepiece_fault(bytes_of(model)).value_or("none"); }

/// A field of a protocol buffer with a length, of less than 16384 bytes.
std::string field(int number, const std::string& value) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  if (value.size() >= 128) out.push_back(static_cast<char>(0x80 | (value.size() & 0x7f)));
  out.push_back(static_cast<char>(value.size() >= 128 ? value.size() >> 7 : value.size()));
  return out + value;
}

std::string piece(const std::string& text, float score) {
  std::string number(4, '\0');
  std::memcpy(number.data(), &score, 4);
  return field(1, field(1, text) + "\x15" + number);
}

/// A double array of 256 units, of which some are set, and the texts behind it.
std::string table(const std::vector<std::pair<std::size_t, std::uint32_t>>& set, const std::string& texts) {
  std::vector<std::uint32_t> units(257, 0);
  units[0] = 1024;
  for (const auto& [at, unit] : set) units[1 + at] = unit;
  std::string out(units.size() * 4, '\0');
  std::memcpy(out.data(), units.data(), out.size());
  return out + texts;
}

std::string with_table(const std::string& bytes) { return piece("a", 0) + field(3, field(2, bytes)); }

}  // namespace

BOOST_AUTO_TEST_CASE(models_without_a_fault) {
  BOOST_TEST(fault(contents(fixture("unigram.model"))) == "none");
  BOOST_TEST(fault(piece("a", -1.5f)) == "none");
  BOOST_TEST(fault(with_table(table({}, std::string(1, '\0')))) == "none");
  // From unit 0 by its offset of 1 to 1 ^ 'a', and by the offset of 1 there to the value beside it: the second text.
  constexpr std::size_t there = 1 ^ 'a';
  const std::uint32_t unit = 1U << 10 | 1U << 8 | 'a';
  const std::string texts("x\0y\0", 4);
  BOOST_TEST(fault(with_table(table({{0, 1U << 10}, {there, unit}, {there ^ 1, 1U << 31 | 2}}, texts))) == "none");
}

BOOST_AUTO_TEST_CASE(models_with_a_fault) {
  BOOST_TEST(fault("") == "is not a SentencePiece model: it has no pieces");
  BOOST_TEST(fault("plain text") == "is not a SentencePiece model, or is damaged");
  BOOST_TEST(fault(std::string("\x0a\x05"
                               "ab")) == "is not a SentencePiece model, or is damaged");
  BOOST_TEST(fault(std::string(12, '\xff')) == "is not a SentencePiece model, or is damaged");
  BOOST_TEST(fault(field(1, "\x0a\x7f")) == "piece 0 is damaged");
  BOOST_TEST(fault(piece("", 0)) == "piece 0 is empty");
  BOOST_TEST(fault(piece(std::string("a\0b", 3), 0)) == "piece 0 has a zero byte, which ends texts in the library");
  BOOST_TEST(fault(piece("ok", 0) + piece("\xff", 0)).starts_with("piece 1: byte 0 (0xff) is not valid UTF-8"));
  BOOST_TEST(fault(piece("a", std::numeric_limits<float>::quiet_NaN())) == "piece 0 has a score that is not finite");
  BOOST_TEST(fault(piece("a", 0) + field(3, "\x0a\x7f")) == "the settings of its normaliser are damaged");
  BOOST_TEST(fault(with_table("abc")) == "the table of the normaliser is cut short");
  const std::string good = table({}, std::string(1, '\0'));
  BOOST_TEST(fault(with_table(good.substr(0, good.size() - 1))) ==
             "the table of the normaliser is damaged: its length is wrong");
  std::string odd = good;
  odd[0] = 4;
  BOOST_TEST(fault(with_table(odd)) == "the table of the normaliser is damaged: its length is wrong");
  BOOST_TEST(fault(with_table(table({}, "x"))) == "the table of the normaliser is damaged: its last text does not end");
  BOOST_TEST(fault(with_table(table({{7, 256U << 10}}, std::string(1, '\0')))) ==
             "the table of the normaliser is damaged: unit 7 leads outside it");
  BOOST_TEST(fault(with_table(table({{9, 1U << 9 | 1U << 10}}, std::string(1, '\0')))) ==
             "the table of the normaliser is damaged: unit 9 leads outside it");
  BOOST_TEST(fault(with_table(table({{8, 1U << 10 | 1U << 8}, {9, 1U << 31 | 1}}, std::string(1, '\0')))) ==
             "the table of the normaliser is damaged: unit 8 names a text that is not there");
  BOOST_TEST(fault(piece("a", 0) + field(5, field(2, "abc"))) == "the table of the normaliser is cut short");
}

BOOST_AUTO_TEST_CASE(as_the_original_encodes) {
  if (!sentencepiece_is_there()) {
    refused("this program was built without that library", [] { open_tokenizer(fixture("unigram.model")); });
    return;
  }
  const auto tokenizer = open_tokenizer(fixture("unigram.model"));
  BOOST_TEST(tokenizer->description() ==
             "SentencePiece of " + std::to_string(tokenizer->vocabulary()) + " tokens, unigram.model");
  BOOST_TEST(tokenizer->end_of_text().value() == 2);
  BOOST_TEST(tokenizer->digest().size() == 64U);
  check_golden(*tokenizer, "unigram");
  const auto texts = golden()["texts"].get<std::vector<std::string>>();
  const auto expected = golden()["decoded_unigram"].get<std::vector<std::string>>();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    BOOST_TEST(decoded(*tokenizer, encoded(*tokenizer, texts[i])) == expected[i]);
  }
  refused("byte 1 (0xff)", [&] { encoded(*tokenizer, "a\xff"); });
  refused("accepted: 0 to " + std::to_string(tokenizer->vocabulary() - 1), [&] { decoded(*tokenizer, {-1}); });
  refused("is not in the vocabulary",
          [&] { decoded(*tokenizer, {static_cast<std::int32_t>(tokenizer->vocabulary())}); });
}

BOOST_AUTO_TEST_CASE(damaged_models) {
  const std::string whole = contents(fixture("unigram.model"));
  const TemporaryFile damaged(whole.substr(0, whole.size() / 2));
  refused("tokenizer " + damaged.path() + ": ", [&] { open_tokenizer(damaged.path()); });
  const TemporaryFile text("plain text");
  refused("tokenizer " + text.path() + ": ", [&] { open_tokenizer(text.path()); });
}

}  // namespace blocktrain::trainer
