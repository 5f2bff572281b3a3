// to_yaml and docs/config.md.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "blocks/architectures/vit_options.hpp"
#include "blocks/objectives/categorical_options.hpp"
#include "blocks/objectives/gaussian_options.hpp"
#include "kernels/random.hpp"
#include "tests/trainer/config/support.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

namespace {

/// Random values inside the ranges; some combinations conflict, which a round trip of single fields does not mind.
class RandomValues {
 public:
  explicit RandomValues(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t bits() {
    const auto words =
        blocktrain::kernels::random_words({seed_, blocktrain::kernels::Purpose::sigma, 0}, 0, 0, count_++);
    return std::uint64_t{words[0]} << 32 | words[1];
  }
  double between(const NumberRange& r) {
    const double u = static_cast<double>(bits() >> 11) * 0x1p-53;
    const double v = r.lowest + u * (std::min(r.highest, r.lowest + 100) - r.lowest);
    return (r.lowest_open && v == r.lowest) || v == 0 ? std::min(r.highest, 1.0) / 3 : v;
  }
  std::int64_t between(const IntegerRange& r) {
    return r.lowest + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(r.highest - r.lowest + 1));
  }

 private:
  std::uint64_t seed_;
  std::uint32_t count_ = 0;
};

void randomise(const Setting& setting, RandomValues& random) {
  if (const auto* f = std::get_if<NumberValue>(&setting.value)) *f->value = random.between(f->range);
  if (const auto* f = std::get_if<IntValue>(&setting.value)) *f->value = static_cast<int>(random.between(f->range));
  if (const auto* f = std::get_if<LongValue>(&setting.value)) *f->value = random.between(f->range);
  if (const auto* f = std::get_if<SeedValue>(&setting.value)) *f->value = random.bits();
  if (const auto* f = std::get_if<BooleanValue>(&setting.value)) *f->value = (random.bits() & 1) != 0;
  if (const auto* f = std::get_if<NameValue>(&setting.value)) {
    do {
      *f->value = static_cast<std::uint8_t>(random.bits() % f->names.size());
    } while (!f->accepts(*f->value));
  }
  if (const auto* f = std::get_if<NumberListValue>(&setting.value)) {
    f->value->resize(f->length.most);
    for (double& v : *f->value) v = random.between(f->range);
  }
  if (const auto* f = std::get_if<SeedListValue>(&setting.value)) {
    f->value->resize(random.bits() % 5);
    for (std::uint64_t& v : *f->value) v = random.bits();
  }
  if (const auto* f = std::get_if<IntListValue>(&setting.value)) {
    f->value->resize(f->length.least +
                     random.bits() % (std::min<std::size_t>(4, f->length.most - f->length.least) + 1));
    for (int& v : *f->value) v = static_cast<int>(random.between(f->range));
  }
}

/// Number of members of an aggregate: the most initialisers that it takes.
struct Anything {
  template <class T>
  operator T() const;
};
template <class T, class... Given>
consteval std::size_t members() {
  if constexpr (requires { T{Given{}..., Anything{}}; }) {
    return members<T, Given..., Anything>();
  } else {
    return sizeof...(Given);
  }
}

const Node& item(const Node& map, std::string_view key) {
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    if (map.keys[i].text == key) return map.items[i];
  }
  throw std::out_of_range(std::string(key));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config_write)

BOOST_AUTO_TEST_CASE(every_field_survives_writing_and_reading_to_the_bit) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomValues random(seed);
    Config original;
    for (const Setting& setting : describe(original)) randomise(setting, random);
    original.log.directory = "a \"b\\c\" 'd' \xc3\xa4: #e";
    original.data.path = "123";
    original.energy.powercap_root = "null";
    const YamlComments comments = seed % 2 == 0 ? YamlComments::none : YamlComments::every_key;
    const Node root = parse_document(to_yaml(original, comments));
    Config copy;
    for (const Setting& setting : describe(copy)) {
      const Node& section = setting.section.empty() ? root : item(root, setting.section);
      const auto wrong = assign(setting, item(section, setting.key));
      BOOST_TEST(!wrong.has_value(), setting.name() << ": " << wrong.value_or(""));
    }
    BOOST_TEST((copy == original));
  }
}

BOOST_AUTO_TEST_CASE(a_whole_config_survives_loading) {
  Config c =
      load("model: {layers: 7, width: 48}\nblocks: {count: 2, layers: [3, 4], seeds: [1, 18446744073709551615]}");
  c.optimizer.learning_rate = 0.1 + 0.2;
  c.noise.p_mean = -1.0 / 3;
  c.optimizer.epsilon = 1e-30;
  for (const YamlComments comments : {YamlComments::none, YamlComments::every_key}) {
    BOOST_TEST((load_config_text(to_yaml(c, comments), "t.yaml", {}) == c));
  }
  c.optimizer.learning_rate = 0.3;
  BOOST_TEST(!(load_config_text(to_yaml(load("")), "t.yaml", {}) == c));
}

BOOST_AUTO_TEST_CASE(numbers_are_written_short_and_so_that_every_yaml_reader_sees_a_number) {
  BOOST_TEST(shortest(0.1) == "0.1");
  BOOST_TEST(shortest(80) == "80");
  BOOST_TEST(shortest(1e-8) == "1.0e-08");
  BOOST_TEST(shortest(1e22) == "1.0e+22");
  BOOST_TEST(shortest(-1.2) == "-1.2");
  BOOST_TEST(shortest(0.1 + 0.2) == "0.30000000000000004");
}

BOOST_AUTO_TEST_CASE(every_key_is_written_once_in_order_and_explained_when_asked) {
  const std::string plain = to_yaml(load("")), commented = to_yaml(load(""), YamlComments::every_key);
  Config c;
  std::size_t at = 0;
  std::set<std::string> names;
  for (const Setting& setting : describe(c)) {
    const std::string line = "\n" + std::string(setting.section.empty() ? "" : "  ") + std::string(setting.key) + ": ";
    at = ("\n" + plain).find(line, at);
    BOOST_TEST(at != std::string::npos, setting.name());
    BOOST_TEST(names.insert(setting.name()).second);
    BOOST_TEST(!setting.meaning.empty());
    BOOST_TEST(setting.meaning.ends_with('.'));
  }
  BOOST_TEST(plain.find('#') == std::string::npos);
  BOOST_TEST(contains(commented,
                      "\n  # Samples per step and block. Accepted: an integer from 1 to 16777216.\n  batch: 128\n"));
  std::istringstream lines(commented);
  for (std::string line; std::getline(lines, line);) BOOST_TEST(line.size() <= 110u);
}

BOOST_AUTO_TEST_CASE(every_member_of_the_structs_is_a_key) {
  const auto keys = []<class T>(T options, auto... arguments) {
    std::vector<Setting> out;
    options.describe(arguments..., out);
    return out.size();
  };
  BOOST_TEST(keys(LogConfig{}) == members<LogConfig>());
  BOOST_TEST(keys(DataConfig{}) == members<DataConfig>());
  BOOST_TEST(keys(BlocksConfig{}) == members<BlocksConfig>());
  BOOST_TEST(keys(NoiseOptions{}) == members<NoiseSettings>() - 2 /* information, masked_tokens have none */ +
                                         members<NoiseOptions>() - 1);  // a base counts as one
  BOOST_TEST(keys(OptimizerConfig{}) == members<OptimizerConfig>());
  BOOST_TEST(keys(BudgetConfig{}) == members<BudgetConfig>());
  BOOST_TEST(keys(EvalConfig{}, std::string_view("images")) == members<EvalConfig>());
  BOOST_TEST(keys(CheckpointConfig{}) == members<CheckpointConfig>());
  BOOST_TEST(keys(ParallelConfig{}) == members<ParallelConfig>());
  BOOST_TEST(keys(EnergyConfig{}) == members<EnergyConfig>());
  BOOST_TEST(keys(DitOptions{}) == members<DitOptions>());
  BOOST_TEST(keys(GaussianOptions{}) == members<GaussianOptions>());
  BOOST_TEST(keys(VitOptions{}) == members<VitOptions>());
  BOOST_TEST(keys(CategoricalOptions{}) == members<CategoricalOptions>());
  BOOST_TEST(keys(ImageDataOptions{}) == members<ImageDataOptions>());
  BOOST_TEST(keys(ImagesOptions{}) == keys(ImageDataOptions{}) + members<ImagesOptions>() - 1);
  BOOST_TEST(keys(LabelsOptions{}) == keys(ImageDataOptions{}) + members<LabelsOptions>() - 1);

  ModelConfig model;
  std::vector<Setting> of_model;
  model.describe(of_model);
  model.describe_last(of_model);
  BOOST_TEST(of_model.size() == members<ModelConfig>());

  // And the keys of all of them are those of a config, with the seed.
  Config c;
  std::size_t all = 1 + keys(LogConfig{}) + keys(DataConfig{}) + of_model.size() + keys(BlocksConfig{});
  all += keys(NoiseOptions{}) + keys(OptimizerConfig{}) + keys(BudgetConfig{}) + members<EvalConfig>();
  all += keys(CheckpointConfig{}) + keys(ParallelConfig{}) + keys(EnergyConfig{}) + keys(DitOptions{});
  all += keys(GaussianOptions{}) + keys(ImagesOptions{});
  BOOST_TEST(describe(c).size() == all);
}

BOOST_AUTO_TEST_CASE(the_committed_reference_is_the_one_the_program_writes) {
  const char* root = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  BOOST_REQUIRE_MESSAGE(root != nullptr, "BLOCKTRAIN_TEST_SOURCE_DIR has to name the source folder, as ctest does");
  std::ifstream file(std::string(root) + "/docs/config.md");
  std::stringstream text;
  text << file.rdbuf();
  BOOST_CHECK_MESSAGE(text.str() == config_reference_markdown(),
                      "docs/config.md is out of date: blocktrain config-reference > docs/config.md");
}

BOOST_AUTO_TEST_SUITE_END()
