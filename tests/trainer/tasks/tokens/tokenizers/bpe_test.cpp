// The merging of bytes against the plain definition, and its time; the parts of which it is made.

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"
#include "trainer/tasks/tokens/tokenizers/added_tokens.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_model.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/byte_alphabet.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

/// Tokens of all bytes, and of what these merges make. `merges` has to outlive what is returned.
BpeParts parts_of(const std::vector<std::pair<std::string, std::string>>& merges) {
  BpeParts parts;
  parts.place = "tokenizer test";
  for (int byte = 0; byte < 256; ++byte) parts.tokens.push_back(spelling_of_byte(static_cast<unsigned char>(byte)));
  for (const auto& [left, right] : merges) {
    const std::string made = left + right;
    if (std::find(parts.tokens.begin(), parts.tokens.end(), made) == parts.tokens.end()) parts.tokens.push_back(made);
    parts.merges.emplace_back(left, right);
  }
  return parts;
}

/// The definition: as long as there is one, the pair that stands first in the list, the leftmost of equal ones.
Ids by_definition(const BpeParts& parts, const std::string& piece) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t i = 0; i < parts.merges.size(); ++i) {
    ranks[{std::string(parts.merges[i].first), std::string(parts.merges[i].second)}] = i;
  }
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.push_back(spelling_of_byte(static_cast<unsigned char>(c)));
  for (;;) {
    std::size_t best = std::numeric_limits<std::size_t>::max(), where = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < best) best = found->second, where = i;
    }
    if (best == std::numeric_limits<std::size_t>::max()) break;
    symbols[where] += symbols[where + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) {
    const auto at = std::find(parts.tokens.begin(), parts.tokens.end(), symbol);
    ids.push_back(static_cast<std::int32_t>(at - parts.tokens.begin()));
  }
  return ids;
}

Ids merged(const BpeModel& model, BpeModel::Scratch& scratch, std::string_view piece) {
  Ids ids;
  model.encode(piece, scratch, ids);
  return ids;
}

}  // namespace

BOOST_AUTO_TEST_CASE(merges_worked_by_hand) {
  const std::vector<std::pair<std::string, std::string>> merges{{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"c", "ab"}};
  const BpeModel model(parts_of(merges));
  BpeModel::Scratch scratch;
  BOOST_TEST(model.vocabulary() == 260);  // ab 256, bc 257, abc 258, cab 259
  BOOST_TEST((merged(model, scratch, "abc") == Ids{258}));
  BOOST_TEST((merged(model, scratch, "bcab") == Ids{257, 256}));  // bc comes before c+ab
  BOOST_TEST((merged(model, scratch, "cab") == Ids{259}));
  BOOST_TEST((merged(model, scratch, "a") == Ids{'a'}));
  BOOST_TEST(merged(model, scratch, "").empty());
  BOOST_TEST(model.bytes_of(258) == "abc");
  BOOST_TEST(model.bytes_of('\n') == "\n");
}

BOOST_AUTO_TEST_CASE(merges_agree_with_the_definition) {
  std::mt19937 draw(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(draw() % n); };
  for (int round = 0; round < 60; ++round) {
    // Merges of what there is already, in an order by chance, so that some never get their turn.
    std::vector<std::string> made{"a", "b", "c", "d"};
    std::vector<std::pair<std::string, std::string>> merges;
    for (int i = 0; i < 40; ++i) {
      const std::string left = made[below(made.size())], right = made[below(made.size())];
      if (left.size() + right.size() > 12) continue;
      merges.emplace_back(left, right);
      made.push_back(left + right);
    }
    std::shuffle(merges.begin(), merges.end(), draw);
    const BpeParts parts = parts_of(merges);
    const BpeModel model(parts);
    BpeModel::Scratch scratch;
    for (int i = 0; i < 60; ++i) {
      std::string piece;
      const std::size_t length = 1 + below(i % 10 == 0 ? 200 : 20);
      for (std::size_t c = 0; c < length; ++c) piece.push_back(static_cast<char>('a' + below(4)));
      const Ids expected = by_definition(parts, piece);
      BOOST_TEST(merged(model, scratch, piece) == expected, boost::test_tools::per_element());
      BOOST_TEST(merged(model, scratch, piece) == expected, boost::test_tools::per_element());  // as it is remembered
    }
  }
}

BOOST_AUTO_TEST_CASE(a_long_piece_takes_no_square_of_time) {
  // 4 million bytes without a cut: by the plain definition that would take days.
  const std::vector<std::pair<std::string, std::string>> merges{{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}};
  const BpeModel model(parts_of(merges));
  BpeModel::Scratch scratch;
  const Ids ids = merged(model, scratch, std::string((std::size_t{1} << 22) + 5, 'a'));
  BOOST_TEST(ids.size() == (std::size_t{1} << 19) + 2);
  BOOST_TEST(ids.front() == 258);
  BOOST_TEST(ids.back() == 'a');
  refused("that is not cut anywhere; accepted: at most 67108864",
          [&] { merged(model, scratch, std::string(BpeModel::most_piece_bytes + 1, 'a')); });
}

BOOST_AUTO_TEST_CASE(bytes_without_a_token) {
  std::vector<std::pair<std::string, std::string>> merges{{"a", "b"}};
  BpeParts parts = parts_of(merges);
  parts.tokens['x'] = "<unk>";
  BpeModel::Scratch scratch;
  BOOST_TEST((merged(BpeModel(parts), scratch, "xaxxb") == Ids{256}));  // left out, as the original does
  parts.unknown = 'x';
  scratch = {};
  BOOST_TEST((merged(BpeModel(parts), scratch, "xaxxb") == Ids{'x', 'a', 'x', 'x', 'b'}));
  parts.fuse_unknown = true;
  scratch = {};
  BOOST_TEST((merged(BpeModel(parts), scratch, "xaxxb") == Ids{'x', 'a', 'x', 'b'}));
}

BOOST_AUTO_TEST_CASE(whole_pieces_before_merges) {
  std::vector<std::pair<std::string, std::string>> merges{{"b", "c"}, {"a", "b"}};
  BpeParts parts = parts_of(merges);
  parts.tokens.push_back("abc");  // which no merge makes
  BpeModel::Scratch scratch;
  BOOST_TEST((merged(BpeModel(parts), scratch, "abc") == Ids{'a', 256}));
  parts.whole_pieces_first = true;
  scratch = {};
  BOOST_TEST((merged(BpeModel(parts), scratch, "abc") == Ids{258}));
}

BOOST_AUTO_TEST_CASE(the_later_of_two_equal_merges_counts) {
  const std::vector<std::pair<std::string, std::string>> merges{{"a", "b"}, {"b", "c"}, {"a", "b"}};
  const BpeModel model(parts_of(merges));
  BpeModel::Scratch scratch;
  BOOST_TEST((merged(model, scratch, "abc") == Ids{'a', 257}));
}

BOOST_AUTO_TEST_CASE(parts_that_do_not_fit) {
  const auto with = [](auto change) {
    BpeParts parts = parts_of({});
    change(parts);
    return [parts] { BpeTokenizer{parts}; };
  };
  refused("tokenizer test: has no tokens", with([](BpeParts& p) { p.tokens.clear(); }));
  refused("merge 0 names the token 'xy', which the vocabulary lacks",
          with([](BpeParts& p) { p.merges.emplace_back("xy", "z"); }));
  refused("merge 0 names the token 'ab'", with([](BpeParts& p) { p.merges.emplace_back("a", "b"); }));
  refused("the added token '<x>' has the id 256; accepted: 0 to 255", with([](BpeParts& p) {
            p.added = {{256, "<x>"}};
          }));
  refused("'<x>' has the id -1", with([](BpeParts& p) { p.added = {{-1, "<x>"}}; }));
  refused("'<x>' is there twice", with([](BpeParts& p) { p.added = {{1, "<x>"}, {2, "<x>"}}; }));
  refused("has the id 1, which another added token has, too", with([](BpeParts& p) {
            p.added = {{1, "<x>"}, {1, "<y>"}};
          }));
  refused("the added token of id 1 is empty", with([](BpeParts& p) { p.added = {{1, ""}}; }));
  refused("not valid UTF-8", with([](BpeParts& p) { p.added = {{1, "\xff"}}; }));
  refused("the unknown token has the id 256", with([](BpeParts& p) { p.unknown = 256; }));
  refused("the end of text has the id 256", with([](BpeParts& p) { p.end_of_text = 256; }));
}

BOOST_AUTO_TEST_CASE(added_tokens_from_the_left_the_longest) {
  const AddedTokens tokens(
      {{0, "ab"}, {1, "abcd"}, {2, "bc"}, {3, "d"}, {4, "<l>", false, true}, {5, "<r>", false, false, true}});
  const auto split = [&](std::string_view text) {
    std::string out;
    tokens.split(
        text, [&](std::string_view between) { out += "[" + std::string(between) + "]"; },
        [&](std::int32_t id) { out += std::to_string(id); });
    return out;
  };
  BOOST_TEST(split("") == "");
  BOOST_TEST(split("xyz") == "[xyz]");
  BOOST_TEST(split("abcd") == "1");
  BOOST_TEST(split("abcxabd") == "0[cx]03");
  BOOST_TEST(split("xbcab") == "[x]20");
  BOOST_TEST(split("x \t<l> y") == "[x]4[ y]");
  BOOST_TEST(split("x\xe3\x80\x80\xc2\xa0<l>") == "[x]4");
  BOOST_TEST(split("x <r> \n y") == "[x ]5[y]");
  BOOST_TEST(split("<r>  <l>") == "54");
  BOOST_TEST(split("<r> \xe3\x80\x80") == "5");
  BOOST_TEST(AddedTokens({}).empty());
}

BOOST_AUTO_TEST_CASE(spelling_of_bytes) {
  std::string every, back;
  for (int byte = 0; byte < 256; ++byte) every += spelling_of_byte(static_cast<unsigned char>(byte));
  BOOST_REQUIRE(append_spelt_bytes(every, back));
  BOOST_REQUIRE(back.size() == 256U);
  for (int byte = 0; byte < 256; ++byte)
    BOOST_TEST(static_cast<unsigned char>(back[static_cast<std::size_t>(byte)]) == byte);
  BOOST_TEST(spelling_of_byte(' ') == "\xc4\xa0");   // U+0120
  BOOST_TEST(spelling_of_byte('\n') == "\xc4\x8a");  // U+010A
  BOOST_TEST(spelling_of_byte(0xad) == "\xc5\x83");  // U+0143, the last
  std::string kept = "kept";
  for (const char* wrong : {"a b", "\xc5\x84", "a\xff", "\xc4", "\xe4\xbd\xa0", "\xc2\xad", "\xc4z"}) {
    BOOST_TEST(!append_spelt_bytes(wrong, kept));
    BOOST_TEST(kept == "kept");
  }
}

}  // namespace blocktrain::trainer
