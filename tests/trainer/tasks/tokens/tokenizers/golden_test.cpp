// Encodings and decodings, exact to the original programs (tests/fixtures/tokenizers/generate.py).

#include <string>
#include <thread>
#include <vector>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"

namespace blocktrain::trainer {
using namespace test;

BOOST_AUTO_TEST_CASE(ids_are_those_of_the_original) {
  for (const char* name : {"gpt2", "smollm", "llama3", "qwen2"}) {
    check_golden(*open_tokenizer(fixture(std::string(name) + ".json")), name);
  }
}

BOOST_AUTO_TEST_CASE(decoding_gives_the_text_back) {
  // gpt2 has blanks put in front, qwen2 normalises, and in the others tokens that eat spaces do not give them back.
  for (const char* name : {"smollm", "llama3"}) {
    const auto tokenizer = open_tokenizer(fixture(std::string(name) + ".json"));
    int compared = 0;
    for (const auto& text : golden()["texts"].get<std::vector<std::string>>()) {
      if (text.find("<mask>") != std::string::npos || text.find("<tail>") != std::string::npos) continue;
      BOOST_TEST(decoded(*tokenizer, encoded(*tokenizer, text)) == text);
      ++compared;
    }
    BOOST_TEST(compared > 150);
  }
}

BOOST_AUTO_TEST_CASE(what_a_tokenizer_says_of_itself) {
  const auto tokenizer = open_tokenizer(fixture("smollm.json"));
  BOOST_TEST(tokenizer->vocabulary() == 506);
  BOOST_TEST(tokenizer->description() == "BPE of 506 tokens, smollm.json");
  BOOST_TEST(tokenizer->end_of_text().value() == encoded(*tokenizer, "<|endoftext|>").at(0));
  BOOST_TEST(tokenizer->digest().size() == 64U);
  BOOST_TEST(tokenizer->digest() != open_tokenizer(fixture("gpt2.json"))->digest());
}

BOOST_AUTO_TEST_CASE(encode_and_decode_append) {
  const auto tokenizer = open_tokenizer(fixture("llama3.json"));
  Ids ids = {7};
  tokenizer->encode("x", ids);
  tokenizer->encode("", ids);
  BOOST_TEST(ids.size() == 2U);
  BOOST_TEST(ids[0] == 7);
  std::string text = "before ";
  tokenizer->decode(std::span(ids).subspan(1), text);
  BOOST_TEST(text == "before x");
}

BOOST_AUTO_TEST_CASE(threads_may_encode_at_once) {
  const auto tokenizer = open_tokenizer(fixture("qwen2.json"));
  const auto texts = golden()["texts"].get<std::vector<std::string>>();
  const auto expected = golden()["encodings"]["qwen2"].get<std::vector<Ids>>();
  std::vector<std::vector<Ids>> found(3, std::vector<Ids>(texts.size()));
  std::vector<std::thread> threads;
  for (auto& ids : found) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) tokenizer->encode(texts[i], ids[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& ids : found) BOOST_TEST((ids == expected));
}

BOOST_AUTO_TEST_CASE(invalid_text_and_ids_are_refused) {
  const auto tokenizer = open_tokenizer(fixture("llama3.json"));
  refused("byte 3 (0xff) is not valid UTF-8", [&] { encoded(*tokenizer, "abc\xff"); });
  refused("byte 2 (0xed)", [&] { encoded(*tokenizer, "\xc3\xa9\xed\xa0\x80"); });  // half of a surrogate pair
  refused("byte 0 (0xc0)", [&] { encoded(*tokenizer, "\xc0\x80"); });              // longer than need be
  refused("byte 1 (0xe4)", [&] { encoded(*tokenizer, "a\xe4\xbd"); });             // cut short
  refused("byte 0 (0xf4)", [&] { encoded(*tokenizer, "\xf4\x90\x80\x80"); });      // beyond the last character
  refused("token 506", [&] { decoded(*tokenizer, {1, 506}); });
  refused("token -1: is not in the vocabulary of llama3.json; accepted: 0 to 505", [&] { decoded(*tokenizer, {-1}); });
}

BOOST_AUTO_TEST_CASE(bytes) {
  const auto tokenizer = open_tokenizer("bytes");
  BOOST_TEST(tokenizer->vocabulary() == 256);
  BOOST_TEST(tokenizer->description() == "bytes");
  BOOST_TEST(!tokenizer->end_of_text());
  BOOST_TEST(tokenizer->digest() == "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9");
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every.push_back(static_cast<char>(byte));
  const Ids ids = encoded(*tokenizer, every);
  BOOST_REQUIRE(ids.size() == 256U);
  for (int byte = 0; byte < 256; ++byte) BOOST_TEST(ids[static_cast<std::size_t>(byte)] == byte);
  BOOST_TEST(decoded(*tokenizer, ids) == every);
  refused("token 256: is no byte; accepted: 0 to 255", [&] { decoded(*tokenizer, {256}); });
  refused("token -1", [&] { decoded(*tokenizer, {-1}); });
}

BOOST_AUTO_TEST_CASE(paths_that_lead_nowhere) {
  refused("tokenizer '/no/such/file': No such file or directory; accepted: bytes, or the path",
          [] { open_tokenizer("/no/such/file"); });
  refused("is a folder; name the file in it, " + fixture("tokenizer.json"), [] { open_tokenizer(fixture("")); });
  const TemporaryFile empty("");
  refused("is empty", [&] { open_tokenizer(empty.path()); });
}

}  // namespace blocktrain::trainer
