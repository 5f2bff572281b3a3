// Where texts are cut, worked by hand from the regular expressions.

#include "trainer/tasks/tokens/tokenizers/pre_tokenizer.hpp"

#include <string>
#include <vector>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

/// The pieces, divided by a bar.
std::string cut(const std::vector<Cut>& cuts, const std::string& text) {
  std::string pieces, together;
  cut_text(cuts, text, [&](std::string_view piece) {
    pieces += (pieces.empty() ? "" : "|") + std::string(piece);
    together += piece;
  });
  BOOST_TEST(together == text);
  return pieces;
}

}  // namespace

BOOST_AUTO_TEST_CASE(as_gpt2) {
  const auto pieces = [](const std::string& text) { return cut({Cut::gpt2}, text); };
  BOOST_TEST(pieces("Hello, world!") == "Hello|,| world|!");
  BOOST_TEST(pieces("I'm we'll it'S 'tis") == "I|'m| we|'ll| it|'|S| '|tis");
  BOOST_TEST(pieces("'tis 'll'd's've're't'mx") == "'t|is| '|ll|'d|'s|'ve|'re|'t|'m|x");
  BOOST_TEST(pieces("abc123 45") == "abc|123| 45");
  BOOST_TEST(pieces("a  b   ") == "a| | b|   ");
  BOOST_TEST(pieces("a\n\nb \n") == "a|\n|\n|b| \n");
  BOOST_TEST(pieces(" \tx") == " |\t|x");
  BOOST_TEST(pieces(" ") == " ");
  BOOST_TEST(pieces("x !?") == "x| !?");
  BOOST_TEST(pieces("\xc3\xa9t\xc3\xa9 \xe4\xbd\xa0\xc2\xbd\xe3\x80\x80\xe3\x80\x80z") ==
             "\xc3\xa9t\xc3\xa9| \xe4\xbd\xa0|\xc2\xbd|\xe3\x80\x80|\xe3\x80\x80|z");
  BOOST_TEST(pieces("e\xcc\x81") == "e|\xcc\x81");  // a combining mark is no letter
  BOOST_TEST(pieces("a\xc2\x85"
                    "b") == "a|\xc2\x85|b");
}

BOOST_AUTO_TEST_CASE(as_llama3) {
  const auto pieces = [](const std::string& text) { return cut({Cut::llama3}, text); };
  BOOST_TEST(pieces("Hello, world!") == "Hello|,| world|!");
  BOOST_TEST(pieces("I'M it's '\xc5\xbf'") == "I|'M| it|'s| '|\xc5\xbf|'");
  BOOST_TEST(pieces("x'\xc5\xbfy") == "x|'\xc5\xbf|y");
  BOOST_TEST(pieces("1234567 89") == "123|456|7| |89");
  BOOST_TEST(pieces("(a)\tb\nc") == "(a|)|\tb|\n|c");
  BOOST_TEST(pieces("!\r\n\n x") == "!\r\n\n| x");
  BOOST_TEST(pieces("a \n \n  b") == "a| \n \n| | b");
  BOOST_TEST(pieces("a   \n") == "a|   \n");
  BOOST_TEST(pieces("   ") == "   ");
  BOOST_TEST(pieces("  1") == " | |1");
  BOOST_TEST(pieces("\n") == "\n");
}

BOOST_AUTO_TEST_CASE(as_qwen2) {
  const auto pieces = [](const std::string& text) { return cut({Cut::qwen2}, text); };
  BOOST_TEST(pieces("a12 3") == "a|1|2| |3");
  BOOST_TEST(pieces("x=10;\n") == "x|=|1|0|;\n");
}

BOOST_AUTO_TEST_CASE(numbers_apart) {
  BOOST_TEST(cut({Cut::each_number}, "ab12 3c") == "ab|1|2| |3|c");
  BOOST_TEST(cut({Cut::number_runs}, "ab12 3c") == "ab|12| |3|c");
  BOOST_TEST(cut({Cut::each_number}, "\xc2\xbd\xd9\xa1x") == "\xc2\xbd|\xd9\xa1|x");
  BOOST_TEST(cut({}, "ab12") == "ab12");
  // One behind the other: spaces before a number are the end of a piece, and stay together.
  BOOST_TEST(cut({Cut::each_number, Cut::gpt2}, "a   12 b") == "a|   |1|2| b");
  BOOST_TEST(cut({Cut::gpt2, Cut::each_number}, "a   12 b") == "a|  | |1|2| b");
}

BOOST_AUTO_TEST_CASE(patterns_that_are_known) {
  BOOST_TEST((cut_of_pattern("\\p{N}") == Cut::each_number));
  BOOST_TEST((cut_of_pattern("\\p{N}+") == Cut::number_runs));
  BOOST_TEST((cut_of_pattern("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+") ==
              Cut::gpt2));
  BOOST_TEST(!cut_of_pattern("(a+)+$"));
  BOOST_TEST(!cut_of_pattern(""));
}

BOOST_AUTO_TEST_CASE(runs_of_spaces_take_no_square_of_time) {
  const std::string spaces(1 << 20, ' ');
  for (const Cut one : {Cut::gpt2, Cut::llama3, Cut::qwen2}) {
    std::size_t pieces = 0;
    cut_text(std::span(&one, 1), spaces + "\n" + spaces + "x", [&](std::string_view) { ++pieces; });
    BOOST_TEST(pieces <= 4U);
  }
}

}  // namespace blocktrain::trainer
