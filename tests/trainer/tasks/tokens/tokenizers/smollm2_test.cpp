// The tokenizer of a real model. Skipped, visibly, where the file is not (scripts/data/fetch_smollm2.sh).

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/trainer/tasks/tokens/tokenizers/support.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

std::string model_file() {
  const char* named = std::getenv("BLOCKTRAIN_SMOLLM2");
  if (named != nullptr) return named;
  return (source_folder() / "data/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf").string();
}

/// Ends the program with the exit code that ctest shows as skipped.
struct SkipWithoutModel {
  SkipWithoutModel() {
    if (fs::exists(model_file())) return;
    std::printf("SKIPPED: no %s (scripts/data/fetch_smollm2.sh fetches it; BLOCKTRAIN_SMOLLM2 names another place)\n",
                model_file().c_str());
    std::fflush(stdout);
    std::_Exit(77);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(ids_of_smollm2_are_those_of_the_original, SkipWithoutModel) {
  const auto tokenizer = open_tokenizer(model_file());
  BOOST_TEST(tokenizer->vocabulary() == 49152);
  BOOST_TEST(tokenizer->description() == "BPE of 49152 tokens, SmolLM2-135M-Instruct.Q4_1.gguf");
  BOOST_TEST(tokenizer->end_of_text().value() == 0);
  check_golden(*tokenizer, "smollm2");
  BOOST_TEST(decoded(*tokenizer, encoded(*tokenizer, "<|im_start|>user\nna\xc3\xafve \xe4\xbd\xa0 12<|im_end|>")) ==
             "<|im_start|>user\nna\xc3\xafve \xe4\xbd\xa0 12<|im_end|>");
}

}  // namespace blocktrain::trainer
