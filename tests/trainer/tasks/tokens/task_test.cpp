// The task behind its interface: an architecture made up here reads texts, in place of the program's list
// (blocks/architectures/architectures.cpp).

#include <fstream>
#include <nlohmann/json.hpp>

#include "blocks/architectures/architectures.hpp"
#include "tests/trainer/tasks/tokens/support.hpp"
#include "trainer/config/config.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"
#include "trainer/tasks/tokens/token_task.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::blocks {
namespace {

struct ReaderOptions {
  std::int64_t context = 256;
  void describe(std::vector<Setting>& out) {
    out.push_back({"model", "context", integer(context, 1, 65536), "Tokens that it looks at."});
  }
  bool operator==(const ReaderOptions&) const = default;
};

constexpr Architecture all[] = {
    {.name = "reader", .meaning = "", .objective = "gaussian", .task = "tokens", .options = options_of<ReaderOptions>},
};

}  // namespace

std::span<const Architecture> architectures() { return all; }

}  // namespace blocktrain::blocks

namespace blocktrain::trainer {
using namespace test;

namespace {

struct Folder : TemporaryFolder {
  void text(const std::string& name, const std::string& content) const { write(name, bytes_of(content)); }

  Config config(const std::string& name, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> overrides{"log.directory=run", "data.path=" + (path() / name).string(),
                                       "model.context=10"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    return load_config_text("model: {architecture: reader}\n", "t.yaml", overrides);
  }
  nlohmann::json outline(const std::string& name, const std::vector<std::string>& more = {}) const {
    return nlohmann::json::parse(token_task().outline(config(name, more)).json);
  }
};

std::string problem(const std::vector<std::string>& overrides) {
  std::vector<std::string> all{"log.directory=run", "data.path=x"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  try {
    load_config_text("model: {architecture: reader}\n", "t.yaml", all);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(task, Folder)

BOOST_AUTO_TEST_CASE(plan_sees_what_sizes_tell) {
  text("a.txt", std::string(1000, 'x'));
  BOOST_TEST(token_task().outline(config("a.txt")).text ==
             "on 900 tokens (bytes) in 89 windows of 10 (100 held out: the last 10%)");
  const nlohmann::json j = outline("a.txt");
  BOOST_TEST(j["training_tokens"] == 900);
  BOOST_TEST(j["heldout_windows"] == 10);
  BOOST_TEST(j["vocabulary"] == 256);
  BOOST_TEST(j["absent"].is_null());
  BOOST_TEST((token_task().outline(config("a.txt")).layout == token_layout(10, 256)));
  // As train finds it.
  const auto samples = token_task().open(config("a.txt"));
  BOOST_TEST(token_task().description(samples->facts()) == "900 tokens (bytes) in 89 windows of 10, 100 held out");
  BOOST_TEST(samples->count(Split::heldout) == 10);
  // Not what is inside.
  text("a.txt", std::string(1000, '\xff'));
  BOOST_TEST(outline("a.txt")["training_tokens"] == 900);
  BOOST_CHECK_THROW(token_task().open(config("a.txt")), InputError);
}

BOOST_AUTO_TEST_CASE(plan_of_ids_documents_and_parts) {
  write("train.bin", llmc(std::vector<int>(50, 1)));
  write("val.bin", llmc(std::vector<int>(20, 1)));
  BOOST_TEST(token_task().outline(config("", {"data.vocabulary=7"})).text ==
             "on 50 tokens (ids below 7) in 4 windows of 10 (20 held out)");
  BOOST_TEST(outline("", {"data.vocabulary=7"})["format"] == "llmc");
  check_input_error([&] { outline(""); }, {"data.vocabulary"});
  const nlohmann::json apart = outline("", {"data.vocabulary=7", "data.documents=apart"});
  BOOST_TEST(apart["training_tokens"] == 50);
  BOOST_TEST(apart["training_windows"].is_null());
  write("val.bin", llmc(std::vector<int>(9, 1)));
  check_input_error([&] { outline("", {"data.vocabulary=7"}); }, {"held-out part has 9 tokens"});
  write("val.bin", ids16({1, 2}));
  check_input_error([&] { outline("", {"data.vocabulary=7"}); }, {"val.bin", "4 bytes"});
}

BOOST_AUTO_TEST_CASE(plan_needs_no_data) {
  const nlohmann::json bytes = outline("none");
  BOOST_TEST(bytes["vocabulary"] == 256);
  BOOST_TEST(bytes["training_tokens"].is_null());
  BOOST_TEST(contains(bytes["absent"].get<std::string>(), "does not exist"));
  BOOST_TEST(contains(token_task().outline(config("none")).text, "on windows of 10 tokens (bytes):\ndata path "));
  const DataOutline ids = token_task().outline(config("none", {"data.vocabulary=50257"}));
  BOOST_TEST((ids.layout == token_layout(10, 50257)));
  check_input_error([&] { token_task().open(config("none")); }, {"does not exist"});
}

BOOST_AUTO_TEST_CASE(keys_that_disagree) {
  BOOST_TEST(problem({}) == "");
  BOOST_TEST(contains(problem({"data.format=bytes", "data.tokenizer=x.json"}), "data.tokenizer bytes"));
  BOOST_TEST(contains(problem({"data.format=llmc"}), "data.vocabulary"));
  BOOST_TEST(problem({"data.format=llmc", "data.vocabulary=9"}) == "");
  BOOST_TEST(contains(problem({"data.format=llmc", "data.vocabulary=9", "data.separator=x"}), "data.end_of_text"));
  BOOST_TEST(contains(problem({"data.vocabulary=9", "data.end_of_text=9"}), "an id below it"));
  BOOST_TEST(contains(problem({"data.heldout=0"}), "above 0, at most 0.9"));
  BOOST_TEST(contains(problem({"data.heldout=0.91"}), "above 0, at most 0.9"));
  BOOST_TEST(contains(problem({"data.documents=a"}), "joined, apart"));
  BOOST_TEST(contains(problem({"data.separator=[a]"}), "a text of at most 1024 bytes"));
  BOOST_TEST(contains(problem({"data.separator=" + std::string(1025, 'x')}), "a text of at most 1024 bytes"));
}

BOOST_AUTO_TEST_CASE(separators_are_written_and_read_as_they_are) {
  const Config c = config("a", {"data.separator=\"\\n\\n\\\"|\""});
  BOOST_TEST(c.task.as<TokensOptions>().separator == "\n\n\"|");
  BOOST_TEST((load_config_text(to_yaml(c), "t.yaml", {}) == c));
  BOOST_TEST((load_config_text(to_yaml(c, YamlComments::every_key), "t.yaml", {}) == c));
  BOOST_TEST(config("a", {"data.separator=\"\""}).task.as<TokensOptions>().separator.empty());
}

BOOST_AUTO_TEST_CASE(where_the_data_lie_makes_no_other_experiment) {
  const auto identity = [&](const std::vector<std::string>& more) { return experiment_identity(config("a", more)); };
  BOOST_TEST(identity({"data.tokenizer=x.json", "data.format=text", "data.path=b"}) == identity({}));
  for (const char* key : {"data.vocabulary=300", "data.heldout=0.2", "data.documents=apart", "data.separator=x",
                          "data.end_of_text=3", "data.deduplicate=exact", "model.context=11"}) {
    BOOST_TEST(identity({key}) != identity({}), key);
  }
}

BOOST_AUTO_TEST_CASE(what_is_told_of_data) {
  text("a.txt", "one|two|one|" + std::string(100, 'x'));
  BOOST_TEST(token_task().recognizes(path() / "a.txt"));
  BOOST_TEST(token_task().recognizes(path()));
  BOOST_TEST(!token_task().recognizes(path() / "none"));
  TokensOptions options;
  options.separator = "|";
  const DataReport report = token_task().inspect(path() / "a.txt", blocks::Options::of(options));
  for (const char* part : {"100 to train on, 12 held out: the last 10%", "bytes; of 256 ids 7 are there",
                           "4 to train on, 1 held out, told apart by data.separator",
                           "1 documents to train on are there before or held out, 4 tokens, 4.00% of those"}) {
    BOOST_TEST(contains(report.text, part), part << " is not in " << report.text);
  }
  const nlohmann::json j = nlohmann::json::parse(report.json);
  BOOST_TEST(j["duplicates"]["tokens"] == 4);
  BOOST_TEST(j["duplicates"]["left_out"] == false);
  BOOST_TEST(j["ids_used"] == 7);
  BOOST_TEST(j["digest"] == TokenDataset::open(path() / "a.txt", options).digest());
  BOOST_TEST(contains(j["sample"]["text"].get<std::string>(), "one|two|one|xx"));
}

BOOST_AUTO_TEST_CASE(what_is_shown_of_data_cannot_reach_a_terminal) {
  text("a.txt", std::string(100, 'x') + "\x1b[31mred\r\nmore" + std::string(100, 'x'));
  const DataReport report = token_task().inspect(path() / "a.txt", blocks::Options::of(TokensOptions{}));
  BOOST_TEST(contains(report.text, "x\\x1b[31mred\\x0d\n  | more"));
}

BOOST_AUTO_TEST_CASE(ids_without_a_tokenizer_are_shown_as_numbers) {
  write("a.bin", ids16(std::vector<int>(40, 5)));
  TokensOptions options;
  options.vocabulary = 6;
  const DataReport report = token_task().inspect(path() / "a.bin", blocks::Options::of(options));
  BOOST_TEST(contains(report.text, "\n  5 5 5 5"));
  BOOST_TEST(nlohmann::json::parse(report.json)["sample"]["text"].is_null());
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
