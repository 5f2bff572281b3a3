// to_yaml and docs/config.md.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

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

void randomise(const Field& field, RandomValues& random) {
  if (const auto* f = std::get_if<NumberField>(&field.value)) *f->value = random.between(f->range);
  if (const auto* f = std::get_if<IntField>(&field.value)) *f->value = static_cast<int>(random.between(f->range));
  if (const auto* f = std::get_if<LongField>(&field.value)) *f->value = random.between(f->range);
  if (const auto* f = std::get_if<SeedField>(&field.value)) *f->value = random.bits();
  if (const auto* f = std::get_if<BooleanField>(&field.value)) *f->value = (random.bits() & 1) != 0;
  if (const auto* f = std::get_if<NameField>(&field.value)) {
    *f->value = static_cast<std::uint8_t>(random.bits() % f->names.accepted.size());
  }
  if (const auto* f = std::get_if<NumberListField>(&field.value)) {
    f->value->resize(f->length.most);
    for (double& v : *f->value) v = random.between(f->range);
  }
  if (const auto* f = std::get_if<SeedListField>(&field.value)) {
    f->value->resize(random.bits() % 5);
    for (std::uint64_t& v : *f->value) v = random.bits();
  }
  if (const auto* f = std::get_if<IntListField>(&field.value)) {
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
    for (const Field& field : describe(original)) randomise(field, random);
    original.log.directory = "a \"b\\c\" 'd' \xc3\xa4: #e";
    original.data.path = "123";
    original.energy.powercap_root = "null";
    const YamlComments comments = seed % 2 == 0 ? YamlComments::none : YamlComments::every_key;
    const Node root = parse_document(to_yaml(original, comments));
    Config copy;
    for (const Field& field : describe(copy)) {
      const Node& section = field.section.empty() ? root : item(root, field.section);
      const auto wrong = assign(field, item(section, field.key));
      BOOST_TEST(!wrong.has_value(), field.name() << ": " << wrong.value_or(""));
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
  for (const Field& field : describe(c)) {
    const std::string line = "\n" + std::string(field.section.empty() ? "" : "  ") + std::string(field.key) + ": ";
    at = ("\n" + plain).find(line, at);
    BOOST_TEST(at != std::string::npos, field.name());
    BOOST_TEST(names.insert(field.name()).second);
    BOOST_TEST(!field.doc.empty());
    BOOST_TEST(field.doc.ends_with('.'));
  }
  BOOST_TEST(plain.find('#') == std::string::npos);
  BOOST_TEST(
      contains(commented, "\n  # Images per step and block. Accepted: an integer from 1 to 16777216.\n  batch: 128\n"));
  std::istringstream lines(commented);
  for (std::string line; std::getline(lines, line);) BOOST_TEST(line.size() <= 110u);
}

BOOST_AUTO_TEST_CASE(every_field_of_the_structs_is_described) {
  Config c;
  const auto described = [&](std::string_view section) {
    const std::vector<Field> fields = describe(c);
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const Field& f) { return f.section == section; }));
  };
  BOOST_TEST(described("") == 1u);
  BOOST_TEST(members<Config>() == 1 + sections().size());
  BOOST_TEST(described("log") == members<LogConfig>());
  BOOST_TEST(described("data") == members<DataConfig>());
  BOOST_TEST(described("model") == members<ModelConfig>());
  BOOST_TEST(described("blocks") == members<BlocksConfig>());
  BOOST_TEST(described("noise") == members<NoiseConfig>());
  BOOST_TEST(described("objective") == members<ObjectiveConfig>());
  BOOST_TEST(described("optimizer") == members<OptimizerConfig>());
  BOOST_TEST(described("budget") == members<BudgetConfig>());
  BOOST_TEST(described("eval") == members<EvalConfig>());
  BOOST_TEST(described("checkpoint") == members<CheckpointConfig>());
  BOOST_TEST(described("parallel") == members<ParallelConfig>());
  BOOST_TEST(described("energy") == members<EnergyConfig>());
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
