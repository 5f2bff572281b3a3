// Text that means harm: all of it has to end in InputError, soon and without deep recursion.
#include <boost/test/unit_test.hpp>

#include "tests/trainer/config/support.hpp"
#include "trainer/config/document.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

std::string repeated(const std::string& part, std::size_t times) {
  std::string text;
  text.reserve(part.size() * times);
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config_hostile)

BOOST_AUTO_TEST_CASE(deep_nesting_is_refused_before_it_can_overflow_the_stack) {
  for (const char* part : {"[", "{", "{a: ", "- ", "? ", "[{", "[? ", "[a, ", "- ? "}) {
    const std::string said = bare_problem(repeated(part, 100000));
    BOOST_TEST(contains(said, "nested more than 64 deep"), part << " said: " << said.substr(0, 200));
  }
  std::string indented;
  for (std::size_t i = 0; i < 300; ++i) indented += std::string(i, ' ') + "a:\n";
  BOOST_TEST(contains(bare_problem(indented), "t.yaml:65: found lists or maps nested more than 64 deep"));
  BOOST_TEST(contains(problem("", {"eval.steps=" + repeated("[", 100000)}), "nested more than 64 deep"));
}

BOOST_AUTO_TEST_CASE(the_deepest_accepted_nesting_is_judged_by_its_meaning) {
  BOOST_TEST(contains(problem("eval: {steps: " + repeated("[", 62) + "1" + repeated("]", 62) + "}"),
                      "eval.steps: found a list;"));
  BOOST_TEST(contains(problem("eval: {steps: " + repeated("[", 63) + "1" + repeated("]", 63) + "}"),
                      "nested more than 64 deep"));
}

BOOST_AUTO_TEST_CASE(the_number_of_values_is_bounded) {
  BOOST_TEST(contains(problem("eval:\n  steps: [" + repeated("1, ", 9000) + "1]"), "found a list of 9001; accepted: "));
  BOOST_TEST(
      contains(problem("eval:\n  steps: [" + repeated("1, ", 10000) + "1]"), "found more than 10000 keys and values"));
  BOOST_TEST(contains(problem(repeated("a: 1\n", 20000)), "found more than 10000 keys and values"));
}

BOOST_AUTO_TEST_CASE(anchors_aliases_and_tags_are_refused) {
  const std::string anchor = "t.yaml:3: found an anchor (&) or alias (*); accepted: values written out";
  BOOST_TEST(contains(problem("seed: &s 1"), anchor));
  BOOST_TEST(contains(problem("a: &a [1, 1]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]"), anchor));
  BOOST_TEST(contains(problem("a: &a [*a]"), anchor));
  BOOST_TEST(contains(problem("seed: *s"), "is not YAML"));
  BOOST_TEST(contains(problem("seed: !!int 1"),
                      "t.yaml:3: found the tag \"tag:yaml.org,2002:int\"; accepted: values without tags"));
  BOOST_TEST(contains(problem("model: !!python/object:os.system {}"), "found the tag"));
  BOOST_TEST(contains(problem("eval: {steps: !x [1]}"), "found the tag \"!x\""));
}

BOOST_AUTO_TEST_CASE(one_document_with_keys_is_accepted_and_nothing_else) {
  BOOST_TEST(load_config_text("---\n" + kRequired + "...\n", "t.yaml", {}).data.path == "d");
  BOOST_TEST(load_config_text("\xef\xbb\xbf" + kRequired, "t.yaml", {}).data.path == "d");
  BOOST_TEST(load_config_text("log: {directory: r}\r\ndata:\r\n  path: d\r\n", "t.yaml", {}).data.path == "d");
  BOOST_TEST(contains(problem("---\nseed: 1"), "t.yaml:3: found a second document; accepted: one document"));
  for (const char* empty : {"", "\n\n", "# only a comment\n", "---\n", "~"}) {
    BOOST_TEST(contains(bare_problem(empty), "t.yaml: found no keys; accepted: `key: value` lines"), empty);
  }
  BOOST_TEST(contains(bare_problem("- 1\n- 2"), "t.yaml:1: found a list; accepted: `key: value` lines"));
  BOOST_TEST(contains(bare_problem("\njust text"), "t.yaml:2: found \"just text\"; accepted: `key: value` lines"));
  BOOST_TEST(contains(problem("seed: [1"), "found text that is not YAML (end of sequence flow not found"));
  BOOST_TEST(contains(problem("seed: 1: 2"), "t.yaml:3: found text that is not YAML (illegal map value"));
}

BOOST_AUTO_TEST_CASE(text_that_is_not_utf8_or_holds_control_characters_is_refused) {
  const std::string accepted = "; accepted: text in UTF-8";
  BOOST_TEST(contains(problem("seed: 1\n# \xff"), "t.yaml:4: found byte 0xff" + accepted));
  // The parser would take this for the end of the text and drop the rest.
  BOOST_TEST(contains(problem(std::string("seed: 1\n\x04model: {layers: 0}")), "t.yaml:4: found byte 0x04" + accepted));
  BOOST_TEST(contains(problem(std::string("seed: 1\n\0", 9)), "t.yaml:4: found byte 0x00" + accepted));
  BOOST_TEST(contains(bare_problem(std::string("\xff\xfe"
                                               "s\0e\0",
                                               6)),
                      "t.yaml:1: found byte 0xff" + accepted));
  for (const char* bad :
       {"\xc0\x80", "\xed\xa0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xc3", "\x80", "\xf8"}) {
    BOOST_TEST(contains(problem(std::string("# ") + bad), "t.yaml:3: found byte 0x"));
  }
  BOOST_TEST(load("# \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\nenergy: {powercap_root: \xc3\xa4}").energy.powercap_root ==
             "\xc3\xa4");
}

BOOST_AUTO_TEST_CASE(size_and_message_are_bounded) {
  BOOST_TEST(
      contains(bare_problem(std::string(kMostConfigBytes + 1, ' ')), "found 1048577 bytes; accepted: at most 1048576"));
  for (const std::string& text : {"seed: " + std::string(500000, 'x'), std::string(500000, 'x') + ": 1",
                                  "? " + std::string(500000, 'x') + "\n: 1", "seed: \"" + std::string(500000, '"')}) {
    const std::string said = problem(text);
    BOOST_TEST(!said.empty());
    BOOST_TEST(said.size() < 1000u);
  }
  BOOST_TEST(quoted_for_message(std::string(59, 'x') + "\xc3\xa4") == "\"" + std::string(59, 'x') + "...\"");
  BOOST_TEST(quoted_for_message(std::string("\xff\x1b[31m")) == "\"\\xff\\x1b[31m\"");
  BOOST_TEST(contains(problem("", {"\x1b[31m=3"}), "\\x1b[31m"));
}

BOOST_AUTO_TEST_CASE(long_text_of_every_shape_ends) {
  const std::size_t n = 100000;
  for (const char* part : {"!",   "! ",     "&a ",          "x ", "x\n",  "a: |\n", "%",        "%A b\n", "---\n",
                           "]",   "}",      "[]",           "[:", "' ' ", "\\x41",  "*a ",      "@",      ": ",
                           "a: ", "k: v\n", "\xef\xbb\xbf", "\"", ", ",   "- - ",   "? a : b\n"}) {
    BOOST_TEST(!problem(repeated(part, n / std::string(part).size())).empty(), part);
  }
}

BOOST_AUTO_TEST_CASE(blanks_and_comments_say_nothing_however_many) {
  for (const char* part : {"\t", " ", "\n", "#", "# \n", "...\n"})
    BOOST_TEST(problem(repeated(part, 100000)) == "", part);
}

BOOST_AUTO_TEST_CASE(directives_are_refused_for_the_parser_would_skip_the_line) {
  BOOST_TEST(
      problem("%model: {layers: 3}") ==
      "t.yaml:3: found a line that starts with %; accepted: `key: value` lines under `section:` lines, indented by "
      "spaces (see configs/)");
  BOOST_TEST(contains(bare_problem("%YAML 1.2\n---\nseed: 1"), "t.yaml:1: found a line that starts with %"));
  BOOST_TEST(load("energy: {powercap_root: a%b}").energy.powercap_root == "a%b");
}

BOOST_AUTO_TEST_SUITE_END()
