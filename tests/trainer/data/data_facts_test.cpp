// RUN/data.json: what is written is read, and nothing else passes for it.

#include "trainer/data/data_facts.hpp"

#include <boost/test/unit_test.hpp>
#include <string>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

const std::string version_1 = R"({"format": "blocktrain-data", "version": 1, "path": "data/a", "digest": "abc",
  "channels": 3, "height": 8, "width": 6, "classes": 10, "training_images": 100, "heldout_images": 20,
  "deviation": 0.5})";

const std::string version_2 = R"({"format": "blocktrain-data", "version": 2, "path": "data/a", "digest": "abc",
  "fields": [{"name": "tokens", "type": "int32", "shape": [64]}], "targets": 64, "classes": 50257, "symbols": "words",
  "training_samples": 100, "heldout_samples": 20, "training_targets": 6500, "heldout_targets": 1300, "deviation": 0})";

std::string with(const std::string& from, const std::string& to, std::string text = version_1) {
  const std::size_t at = text.find(from);
  BOOST_REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

void check_refused(const std::string& text, const std::string& part) {
  BOOST_CHECK_EXCEPTION(parse_data_facts(text, "RUN/data.json"), InputError, [&part](const InputError& e) {
    const std::string message = e.what();
    BOOST_TEST_MESSAGE(message);
    return message.find("RUN/data.json") != std::string::npos && message.find(part) != std::string::npos;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(version_1_is_read_and_comes_back_as_it_was) {
  const DataFacts facts = parse_data_facts(version_1, "data.json");
  for (const DataFacts& f : {facts, parse_data_facts(to_json(facts), "data.json")}) {
    BOOST_TEST(f.path == "data/a");
    BOOST_TEST(f.digest == "abc");
    BOOST_TEST(f.training_samples == 100);
    BOOST_TEST(f.heldout_samples == 20);
    BOOST_TEST(f.deviation == 0.5);
  }
  BOOST_TEST(to_json(facts) == to_json(parse_data_facts(to_json(facts), "data.json")));
}

BOOST_AUTO_TEST_CASE(images_stay_in_version_1) {
  BOOST_TEST(to_json(parse_data_facts(version_1, "data.json")).find("\"version\": 1,") != std::string::npos);
  BOOST_TEST(to_json(parse_data_facts(version_2, "data.json")).find("\"version\": 2,") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(version_2_says_what_a_sample_is_made_of) {
  const DataFacts facts = parse_data_facts(version_2, "data.json");
  for (const DataFacts& f : {facts, parse_data_facts(to_json(facts), "data.json")}) {
    BOOST_TEST(f.path == "data/a");
    BOOST_TEST(f.digest == "abc");
    BOOST_TEST((f.layout == blocks::SampleLayout{{{"tokens", kernels::DType::int32, {64}}}, 64, 50257}));
    BOOST_TEST(f.symbols == "words");
    BOOST_TEST(f.training_samples == 100);
    BOOST_TEST(f.heldout_samples == 20);
    BOOST_TEST(f.training_targets == 6500);
    BOOST_TEST(f.heldout_targets == 1300);
    BOOST_TEST(f.deviation == 0);
  }
}

BOOST_AUTO_TEST_CASE(version_2_is_checked_too) {
  const auto changed = [](const std::string& from, const std::string& to) { return with(from, to, version_2); };
  for (const std::string wrong : {"0", "-1", "16777217", "9223372036854775807"}) {
    check_refused(changed("\"targets\": 64", "\"targets\": " + wrong), "size of " + wrong);
    check_refused(changed("\"classes\": 50257", "\"classes\": " + wrong), "size of " + wrong);
    check_refused(changed("[64]", "[" + wrong + "]"), "size of " + wrong);
  }
  check_refused(changed("[64]", "[65536, 65536]"), "more than 2^24");
  check_refused(changed("[64]", "[1, 1, 1, 1]"), "does not know");
  check_refused(changed("[64]", "64"), "does not know");
  check_refused(changed("[64]", "[\"64\"]"), "damaged");
  check_refused(changed("\"tokens\"", "\"sounds\""), "does not know");
  check_refused(changed("\"int32\"", "\"int31\""), "does not know");
  check_refused(changed("[{\"name\": \"tokens\", \"type\": \"int32\", \"shape\": [64]}]", "[]"), "list of 1 to 4");
  check_refused(changed("\"symbols\": \"words\",", ""), "damaged");
  check_refused(changed("\"version\": 2", "\"version\": 3"), "another format or version");
}

BOOST_AUTO_TEST_CASE(what_is_no_data_json_is_refused) {
  for (const char* text : {"", "{", "not JSON", "[]", "12", "null", "\"text\""}) check_refused(text, "is not JSON");
  check_refused("{}", "damaged");
  check_refused(with("blocktrain-data", "other"), "another format");
  check_refused(with("\"version\": 1", "\"version\": 99"), "another format or version");
  check_refused(with("\"abc\"", "7"), "damaged");
  check_refused(with("\"height\": 8, ", ""), "damaged");
}

BOOST_AUTO_TEST_CASE(sizes_stay_within_bounds) {
  BOOST_CHECK_NO_THROW(parse_data_facts(with("\"classes\": 10", "\"classes\": 65536"), "data.json"));
  for (const std::string wrong : {"0", "-1", "65537", "9223372036854775807"}) {
    check_refused(with("\"channels\": 3", "\"channels\": " + wrong), "size of " + wrong);
    check_refused(with("\"classes\": 10", "\"classes\": " + wrong), "size of " + wrong);
  }
  check_refused(with("\"channels\": 3, \"height\": 8", "\"channels\": 65536, \"height\": 65536"), "more than 2^24");
}

}  // namespace blocktrain::trainer
