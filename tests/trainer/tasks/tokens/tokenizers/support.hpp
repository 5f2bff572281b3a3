#pragma once
/// What the tests of tokenizers share: fixtures, short ways to encode and decode, errors by their words.

#include <stdlib.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"

namespace blocktrain::trainer::test {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

inline fs::path source_folder() {
  const char* root = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  return root != nullptr ? fs::path(root) : fs::current_path();
}

inline std::string fixture(const std::string& name) {
  return (source_folder() / "tests/fixtures/tokenizers" / name).string();
}

inline std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  BOOST_REQUIRE_MESSAGE(in.good(), path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// A file of its own that goes away with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes) {
    std::string name = (fs::temp_directory_path() / "blocktrain-tokenizer-XXXXXX").string();
    const int descriptor = mkstemp(name.data());
    BOOST_REQUIRE(descriptor >= 0);
    ::close(descriptor);
    path_ = name;
    std::ofstream out(path_, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    BOOST_REQUIRE(out.good());
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Ids encoded(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

inline std::string decoded(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  tokenizer.decode(ids, text);
  return text;
}

/// Whether `action` throws an InputError whose message holds `words`.
template <class Action>
void refused(const std::string& words, Action&& action) {
  BOOST_CHECK_EXCEPTION(action(), InputError, [&](const InputError& error) {
    const bool right = std::string(error.what()).find(words) != std::string::npos;
    if (!right) BOOST_TEST_MESSAGE("said: " << error.what() << "\nnot said: " << words);
    return right;
  });
}

/// The texts of the fixture and what the original programs make of them.
inline const nlohmann::json& golden() {
  static const nlohmann::json read = nlohmann::json::parse(contents(fixture("golden.json")));
  return read;
}

/// Checks the ids of all texts of the fixture.
inline void check_golden(const Tokenizer& tokenizer, const std::string& name) {
  const auto texts = golden()["texts"].get<std::vector<std::string>>();
  const auto expected = golden()["encodings"][name].get<std::vector<Ids>>();
  BOOST_REQUIRE(texts.size() > 150U);
  BOOST_REQUIRE(texts.size() == expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    BOOST_TEST_CONTEXT(name << ", text " << i << ": " << texts[i]) {
      BOOST_TEST(encoded(tokenizer, texts[i]) == expected[i], boost::test_tools::per_element());
    }
  }
}

}  // namespace blocktrain::trainer::test
