// The tokenizer in a GGUF, made of a tokenizer.json's: the same ids; and what is refused.

#include "trainer/tasks/tokens/tokenizers/gguf_tokenizer.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tests/trainer/formats/gguf_writer.hpp"
#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

struct Entries {
  std::string model = "gpt2", pre = "smollm";
  std::vector<std::string> tokens{"a", "b", "ab", "<e>"};
  std::vector<std::int32_t> types{1, 1, 1, 3};
  std::vector<std::string> merges{"a b"};
  std::uint32_t end = 3;
};

GgufWriter written(const Entries& entries) {
  GgufWriter writer;
  writer.text("general.architecture", "llama")
      .text("tokenizer.ggml.model", entries.model)
      .text("tokenizer.ggml.pre", entries.pre)
      .texts("tokenizer.ggml.tokens", entries.tokens)
      .numbers("tokenizer.ggml.token_type", GgufKind::int32, entries.types)
      .texts("tokenizer.ggml.merges", entries.merges)
      .number("tokenizer.ggml.eos_token_id", GgufKind::uint32, entries.end);
  return writer;
}

std::unique_ptr<Tokenizer> read(const std::string& file) {
  return read_gguf_tokenizer(GgufFile(bytes_of(file), "tokenizer t.gguf"), "t.gguf");
}

/// The tokens and merges of a fixture, with its added tokens of that kind.
Entries entries_of(const std::string& name, const std::string& pre) {
  const auto file = nlohmann::json::parse(contents(fixture(name)));
  Entries entries;
  entries.pre = pre;
  const auto& vocabulary = file["model"]["vocab"];
  entries.tokens.assign(vocabulary.size(), "");
  for (const auto& [token, id] : vocabulary.items()) entries.tokens.at(id.get<std::size_t>()) = token;
  entries.types.assign(entries.tokens.size(), 1);
  for (const auto& token : file["added_tokens"]) {
    const auto id = token["id"].get<std::size_t>();
    if (id >= entries.tokens.size()) {
      entries.tokens.resize(id + 1);
      entries.types.resize(id + 1);
    }
    entries.tokens[id] = token["content"];
    entries.types[id] = token["special"].get<bool>() ? 3 : 4;
  }
  entries.merges.clear();
  for (const auto& pair : file["model"]["merges"]) {
    entries.merges.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  }
  return entries;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_same_ids_as_the_original) {
  // A GGUF does not tell which tokens take the spaces around them, and which are looked for in normalised text.
  const std::vector<std::pair<std::string, std::string>> both{
      {"smollm", "smollm"}, {"llama3", "llama-bpe"}, {"qwen2", "qwen2"}};
  for (const auto& [name, pre] : both) {
    const auto tokenizer = read(written(entries_of(name + ".json", pre)).file());
    const auto texts = golden()["texts"].get<std::vector<std::string>>();
    const auto expected = golden()["encodings"][name].get<std::vector<Ids>>();
    int compared = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].find("<mask>") != std::string::npos || texts[i].find("<tail>") != std::string::npos) continue;
      if (name == "qwen2" && texts[i].find("-token") != std::string::npos) continue;
      BOOST_TEST_CONTEXT(name << ", text " << i << ": " << texts[i]) {
        BOOST_TEST(encoded(*tokenizer, texts[i]) == expected[i], boost::test_tools::per_element());
      }
      ++compared;
    }
    BOOST_TEST(compared > 150);
  }
}

BOOST_AUTO_TEST_CASE(what_a_gguf_says_of_its_tokenizer) {
  const std::string file = written({}).file();
  const auto tokenizer = read(file);
  BOOST_TEST(tokenizer->vocabulary() == 4);
  BOOST_TEST(tokenizer->description() == "BPE of 4 tokens, t.gguf");
  BOOST_TEST(tokenizer->end_of_text().value() == 3);
  BOOST_TEST((encoded(*tokenizer, "ab<e>a") == Ids{2, 3, 0}));
  // The digest is of the tokenizer, not of the weights beside it.
  BOOST_TEST(
      read(written({}).text("general.name", "x").tensor("w", {8}, 0, 0).data(std::string(32, 'w')).file())->digest() ==
      tokenizer->digest());
  Entries other;
  other.tokens[0] = "c";
  other.merges = {};
  BOOST_TEST(read(written(other).file())->digest() != tokenizer->digest());
  const TemporaryFile on_disk(file);
  BOOST_TEST((encoded(*open_tokenizer(on_disk.path()), "ab") == Ids{2}));
}

BOOST_AUTO_TEST_CASE(the_blank_in_front_and_the_end_of_text) {
  Entries entries;
  entries.tokens = {"a", "b", "ab", "<|endoftext|>", "\xc4\xa0"};
  entries.types = {1, 1, 1, 3, 1};
  entries.end = 99;  // no token has it
  const auto writer = written(entries).number("tokenizer.ggml.add_space_prefix", GgufKind::boolean, std::uint8_t{1});
  const auto tokenizer = read(GgufWriter(writer).file());
  BOOST_TEST((encoded(*tokenizer, "ab") == Ids{4, 2}));
  BOOST_TEST(tokenizer->end_of_text().value() == 3);
  entries.tokens[3] = "<other>";
  BOOST_TEST(!read(written(entries).file())->end_of_text());
}

BOOST_AUTO_TEST_CASE(what_is_refused) {
  const auto refused_with = [](const std::string& words, const Entries& entries) {
    refused("tokenizer t.gguf: " + words, [&] { read(written(entries).file()); });
  };
  Entries entries;
  entries.model = "llama";
  refused_with("tokenizer.ggml.model: found 'llama'; accepted: gpt2", entries);
  entries = {};
  entries.pre = "tekken";
  refused_with("tokenizer.ggml.pre: found 'tekken'; accepted: gpt-2, smollm, starcoder, llama-bpe", entries);
  entries = {};
  entries.types = {1, 1};
  refused_with("tokenizer.ggml.token_type: found 2 of them; accepted: one for each of 4 tokens", entries);
  entries = {};
  entries.merges = {"ab"};
  refused_with("tokenizer.ggml.merges: found 'ab'", entries);
  entries.merges = {"a b c"};
  refused_with("tokenizer.ggml.merges: found 'a b c'", entries);
  entries.merges = {"a z"};
  refused_with("merge 0 names the token 'z'", entries);
  entries = {};
  entries.tokens = {};
  entries.types = {};
  refused_with("has no tokenizer.ggml.tokens", entries);
  entries = {};
  entries.tokens[3] = "";
  refused_with("the added token of id 3 is empty", entries);
  refused("has no tokenizer (no tokenizer.ggml.model)", [] { read(GgufWriter().file()); });
  refused("has no tokenizer.ggml.merges",
          [] { read(GgufWriter().text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a"}).file()); });
  refused("tokenizer.ggml.pre: found none", [] {
    read(GgufWriter()
             .text("tokenizer.ggml.model", "gpt2")
             .texts("tokenizer.ggml.tokens", {"a"})
             .texts("tokenizer.ggml.merges", {})
             .file());
  });
  refused("tokenizer.ggml.tokens: found one of type text; accepted: a list of texts",
          [] { read(GgufWriter().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.tokens", "a").file()); });
  const TemporaryFile damaged(written({}).file().substr(0, 150));
  refused("tokenizer " + damaged.path() + ": ", [&] { open_tokenizer(damaged.path()); });
}

}  // namespace blocktrain::trainer
