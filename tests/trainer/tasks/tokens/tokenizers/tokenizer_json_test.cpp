// tokenizer.json: what is read, and what is refused, by name.

#include "trainer/tasks/tokens/tokenizers/tokenizer_json.hpp"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

using Json = nlohmann::json;

Ids encoded_by(const std::string& file, std::string_view text) {
  return encoded(*read_tokenizer_json(file, "t.json"), text);
}

/// A tokenizer of the letters a, b, c and ab, and one special token.
Json small() {
  return Json::parse(R"({
    "version": "1.0",
    "added_tokens": [{"id": 4, "content": "<e>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing"},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3},
              "merges": [["a", "b"]]}})");
}

/// The message that a changed file gets.
void refused_with(const std::string& words, const std::function<void(Json&)>& change) {
  Json file = small();
  change(file);
  refused("tokenizer t.json: " + words, [&] { read_tokenizer_json(file.dump(), "t.json"); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_small_file) {
  const auto tokenizer = read_tokenizer_json(small().dump(), "folder/t.json");
  BOOST_TEST(tokenizer->vocabulary() == 5);
  BOOST_TEST(tokenizer->description() == "BPE of 5 tokens, t.json");
  BOOST_TEST((encoded(*tokenizer, "abc<e>ba") == Ids{3, 2, 4, 1, 0}));
  BOOST_TEST(decoded(*tokenizer, {3, 2, 4, 1, 0}) == "abc<e>ba");
  BOOST_TEST(!tokenizer->end_of_text());
}

BOOST_AUTO_TEST_CASE(other_spellings) {
  Json file = small();
  file["model"]["merges"] = {"a b"};
  BOOST_TEST((encoded_by(file.dump(), "ab") == Ids{3}));
  file["model"].erase("type");
  BOOST_TEST((encoded_by(file.dump(), "ab") == Ids{3}));
  file["model"]["unk_token"] = "";
  file["model"]["continuing_subword_prefix"] = "";
  file["model"]["dropout"] = 0.0;
  file["added_tokens"] = nullptr;
  BOOST_TEST((encoded_by(file.dump(), "abz<") == Ids{3}));  // bytes without a token are left out
  file["model"]["unk_token"] = "c";
  BOOST_TEST((encoded_by(file.dump(), "abz<") == Ids{3, 2, 2}));
  file["model"]["fuse_unk"] = true;
  BOOST_TEST((encoded_by(file.dump(), "ab<<") == Ids{3, 2}));
}

BOOST_AUTO_TEST_CASE(pre_tokenizers_that_do_the_same) {
  Json file = small();
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const std::string pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
  const auto with = [&](const Json& split) {
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
    return encoded_by(file.dump(), "abc");
  };
  const Json isolated = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  BOOST_TEST((with(isolated) == Ids{3, 2}));
  Json removed = isolated;
  removed["behavior"] = "Removed";
  removed["invert"] = true;
  BOOST_TEST((with(removed) == Ids{3, 2}));
  BOOST_TEST((with({{"type", "Digits"}, {"individual_digits", true}}) == Ids{3, 2}));
}

BOOST_AUTO_TEST_CASE(an_id_that_nobody_has) {
  Json file = small();
  file["added_tokens"][0]["id"] = 9;
  const auto tokenizer = read_tokenizer_json(file.dump(), "t.json");
  BOOST_TEST(tokenizer->vocabulary() == 10);
  BOOST_TEST((encoded(*tokenizer, "a<e>") == Ids{0, 9}));
  BOOST_TEST(decoded(*tokenizer, {0, 7, 9}) == "a<e>");
}

BOOST_AUTO_TEST_CASE(what_is_not_supported_is_named) {
  refused_with("model.type: found \"WordPiece\"; accepted: \"BPE\"", [](Json& f) { f["model"]["type"] = "WordPiece"; });
  refused_with("model: is not of type BPE", [](Json& f) { f["model"] = {{"vocab", Json::object()}}; });
  refused_with("model.dropout: found 0.1", [](Json& f) { f["model"]["dropout"] = 0.1; });
  refused_with("model.byte_fallback: found true", [](Json& f) { f["model"]["byte_fallback"] = true; });
  refused_with("model.end_of_word_suffix: found \"</w>\"", [](Json& f) { f["model"]["end_of_word_suffix"] = "</w>"; });
  refused_with("normalizer.type: found \"NFKC\"; accepted: null, NFC", [](Json& f) {
    f["normalizer"] = {{"type", "NFKC"}};
  });
  refused_with("normalizer.normalizers.type: found \"Lowercase\"", [](Json& f) {
    f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}};
  });
  refused_with("pre_tokenizer: has no ByteLevel", [](Json& f) { f["pre_tokenizer"] = nullptr; });
  refused_with("pre_tokenizer.type: found \"Metaspace\"", [](Json& f) {
    f["pre_tokenizer"] = {{"type", "Metaspace"}};
  });
  refused_with("pre_tokenizer.pretokenizers, entry 1: follows ByteLevel", [](Json& f) {
    f["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "Digits"}}}}};
  });
  const auto split = [](const Json& pattern, const char* behavior, bool invert) {
    return [=](Json& f) {
      f["pre_tokenizer"] = {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}};
    };
  };
  refused_with("pre_tokenizer.pattern: found {\"Regex\":\"(a+)+$\"}; accepted: a Regex that is known",
               split({{"Regex", "(a+)+$"}}, "Isolated", false));
  refused_with("pre_tokenizer.pattern: found {\"String\":\" \"}", split({{"String", " "}}, "Isolated", false));
  refused_with("pre_tokenizer.behavior: found \"MergedWithNext\"",
               split({{"Regex", "\\p{N}"}}, "MergedWithNext", false));
  refused_with("pre_tokenizer.behavior: found \"Isolated\"", split({{"Regex", "\\p{N}"}}, "Isolated", true));
  refused_with("pre_tokenizer.behavior: found \"Removed\"", split({{"Regex", "\\p{N}"}}, "Removed", true));
  refused_with("added_tokens, entry 0.single_word: found true",
               [](Json& f) { f["added_tokens"][0]["single_word"] = true; });
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_named) {
  refused_with("has no model", [](Json& f) { f.erase("model"); });
  refused_with("has no model", [](Json& f) { f = Json::array(); });
  refused_with("model: found 7; accepted: an object", [](Json& f) { f["model"] = 7; });
  refused_with("model.vocab: found [1]", [](Json& f) { f["model"]["vocab"] = {1}; });
  refused_with("model.vocab, token 'a': found -1; accepted: a whole number from 0 to 2097151",
               [](Json& f) { f["model"]["vocab"]["a"] = -1; });
  refused_with("model.vocab, token 'a': found 2097152", [](Json& f) { f["model"]["vocab"]["a"] = 1 << 21; });
  refused_with("model.vocab, token 'a': found 18446744073709551615",
               [](Json& f) { f["model"]["vocab"]["a"] = std::uint64_t(-1); });
  refused_with("model.vocab, token 'a': found 0.5", [](Json& f) { f["model"]["vocab"]["a"] = 0.5; });
  refused_with("model.vocab: 'a' and 'b' both have the id 0", [](Json& f) { f["model"]["vocab"]["b"] = 0; });
  refused_with("model.vocab: the token of id 7 is empty", [](Json& f) { f["model"]["vocab"][""] = 7; });
  refused_with("model.merges: found null", [](Json& f) { f["model"]["merges"] = nullptr; });
  for (const Json& merge : {Json("ab"), Json("a b c"), Json{"a"}, Json{"a", 1}, Json(1)}) {
    refused_with("model.merges, entry 0: found " + merge.dump(),
                 [&](Json& f) { f["model"]["merges"] = Json::array({merge}); });
  }
  refused_with("merge 0 names the token 'z', which the vocabulary lacks", [](Json& f) {
    f["model"]["merges"] = Json::array({Json::array({"a", "z"})});
  });
  refused_with("merge 0 names the token 'ca'", [](Json& f) {
    f["model"]["merges"] = Json::array({Json::array({"c", "a"})});
  });
  refused_with("model.unk_token: found \"z\"", [](Json& f) { f["model"]["unk_token"] = "z"; });
  refused_with("model.ignore_merges: found 1; accepted: true or false",
               [](Json& f) { f["model"]["ignore_merges"] = 1; });
  refused_with("added_tokens: found 1; accepted: a list", [](Json& f) { f["added_tokens"] = 1; });
  refused_with("added_tokens, entry 0: found 1", [](Json& f) { f["added_tokens"][0] = 1; });
  refused_with("added_tokens, entry 0.content: found null", [](Json& f) { f["added_tokens"][0].erase("content"); });
  refused_with("added_tokens, entry 0.id: found null", [](Json& f) { f["added_tokens"][0].erase("id"); });
  refused_with("added_tokens, entry 0: '<e>' has the id 3, and model.vocab says otherwise",
               [](Json& f) { f["added_tokens"][0]["id"] = 3; });
  refused_with("added_tokens, entry 0: 'ab' has the id 4, and model.vocab says otherwise",
               [](Json& f) { f["added_tokens"][0]["content"] = "ab"; });
  refused_with("the added token of id 4 is empty", [](Json& f) { f["added_tokens"][0]["content"] = ""; });
}

BOOST_AUTO_TEST_CASE(files_that_are_no_json) {
  const std::string whole = small().dump();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    BOOST_CHECK_THROW(read_tokenizer_json(whole.substr(0, size), "t.json"), InputError);
  }
  refused("tokenizer t.json: is not JSON: something is wrong at byte 4",
          [] { read_tokenizer_json("{\"a\xff", "t.json"); });
  refused("is nested more than 64 levels deep", [] { read_tokenizer_json(std::string(1 << 20, '['), "t.json"); });
  std::string many = "[0";
  for (int i = 0; i < 1 << 23; ++i) many += ",0";
  refused("has more than 8388608 values", [&] { read_tokenizer_json(many + "]", "t.json"); });
  const TemporaryFile damaged(whole.substr(0, whole.size() / 2));
  refused("tokenizer " + damaged.path() + ": is not JSON", [&] { open_tokenizer(damaged.path()); });
}

}  // namespace blocktrain::trainer
