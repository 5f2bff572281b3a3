#include "blocks/parameters.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>

#include "kernels/random.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using kernels::Tensor;
using test::HostTensor;

/// Initial values by name.
std::map<std::string, std::vector<double>> initialized(const Block& d, std::uint64_t seed, DType dtype) {
  const HostTensor flat(dtype, {d.parameter_elements()});
  initialize(*flat, d.parameters(), seed);
  std::map<std::string, std::vector<double>> out;
  for (const Parameter& p : d.parameters()) out[p.name] = test::values_of(view_of(*flat, p));
  return out;
}

bool ends_with(const std::string& s, const std::string& end) {
  return s.size() >= end.size() && s.compare(s.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(parameters_are_aligned_named_once_and_do_not_overlap) {
  const auto d = test::dit_block(test::small_config(), {1, 3, 2, 2});
  std::int64_t end = 0;
  for (const Parameter& p : d->parameters()) {
    BOOST_TEST(p.offset % 16 == 0);
    BOOST_TEST(p.offset >= end);
    end = p.offset + p.size;
  }
  BOOST_TEST(d->parameter_elements() >= end);
  BOOST_TEST(d->parameter_elements() % 16 == 0);
  ParameterLayout layout;
  layout.add_zeros("twice", {3});
  BOOST_CHECK_THROW(layout.add_zeros("twice", {3}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(names_hash_as_fnv_1a) {
  BOOST_TEST(name_hash("") == 0x811c9dc5u);
  BOOST_TEST(name_hash("a") == 0xe40c292cu);
  BOOST_TEST(name_hash("foobar") == 0xbf9cf968u);
}

BOOST_AUTO_TEST_CASE(names_of_one_hash_are_refused) {
  const std::string one = "layers.40473.norm.gain", other = "layers.47217.mlp.gate";
  BOOST_REQUIRE_EQUAL(name_hash(one), name_hash(other));
  const auto names_both = [&](const std::logic_error& e) {
    const std::string what = e.what();
    return what.find(one) != std::string::npos && what.find(other) != std::string::npos;
  };
  ParameterLayout layout;
  layout.add_normal(one, 2, 2, 1, false);
  BOOST_CHECK_EXCEPTION(layout.add_zeros(other, {3}), std::logic_error, names_both);
  layout.take();
  layout.add_zeros(other, {3});  // of another network
  BOOST_CHECK_EXCEPTION(layout.add_xavier(one, 2, 2), std::logic_error, names_both);
}

BOOST_AUTO_TEST_CASE(no_network_that_a_config_can_ask_for_has_names_of_one_hash) {
  constexpr int most = 4096;  // of layers, and of blocks
  ParameterNames names;
  for (int b = 0; b < most; ++b) {
    const auto block = test::dit_block(test::small_config(), {b, most, b, 1});
    for (const Parameter& p : block->parameters()) names.add(p.name);
  }
}

BOOST_AUTO_TEST_CASE(a_layer_starts_alike_whichever_block_owns_it) {
  const DitConfig c = test::small_config();
  const auto whole = initialized(*test::dit_block(c, {0, 1, 0, 6}), 5, DType::float32);
  const auto half = initialized(*test::dit_block(c, {1, 2, 3, 3}), 5, DType::float32);
  const auto third = initialized(*test::dit_block(c, {2, 3, 4, 2}), 5, DType::float32);
  int shared = 0;
  for (const auto& [name, values] : third) {
    if (name.rfind("layers.", 0) != 0) continue;
    BOOST_TEST(whole.at(name) == values);
    BOOST_TEST(half.at(name) == values);
    ++shared;
  }
  BOOST_TEST(shared == 20);
  // What is private differs from block to block, and everything from seed to seed.
  BOOST_TEST(half.at("blocks.1.patch_embedding.weight") != third.at("blocks.2.patch_embedding.weight"));
  BOOST_TEST(whole.at("layers.0.mlp.input.weight") != whole.at("layers.1.mlp.input.weight"));
  BOOST_TEST(initialized(*test::dit_block(c, {2, 3, 4, 2}), 6, DType::float32).at("layers.4.mlp.input.weight") !=
             third.at("layers.4.mlp.input.weight"));
}

BOOST_AUTO_TEST_CASE(initial_values_follow_their_distributions) {
  DitConfig c = test::small_config();
  c.width = 48;
  c.noise_features = 256;
  c.classes = 30;
  const auto d = test::dit_block(c, {0, 1, 0, 1});
  const auto values = initialized(*d, 3, DType::float64);
  for (const Parameter& p : d->parameters()) {
    const std::vector<double>& v = values.at(p.name);
    const bool zero = ends_with(p.name, ".bias") || p.name.find("modulation") != std::string::npos ||
                      p.name.find("output.linear") != std::string::npos;
    BOOST_TEST((test::norm(v) == 0) == zero, p.name);
    BOOST_TEST(p.decays == ends_with(p.name, ".weight"), p.name);
    if (zero || p.size < 500) continue;
    const double deviation = test::norm(v) / std::sqrt(static_cast<double>(v.size()));
    const bool small = p.name.find("noise_embedding") != std::string::npos || ends_with(p.name, ".table");
    const double fan = static_cast<double>(p.shape[0] + p.shape[1]);
    const double expected = small ? 0.02 : std::sqrt(2 / fan);
    // Six standard errors of the deviation of as many normal (or uniform, which scatter less) numbers.
    BOOST_TEST(std::abs(deviation / expected - 1) < 6 / std::sqrt(2.0 * static_cast<double>(v.size())), p.name);
    if (small) continue;
    for (const double x : v) BOOST_REQUIRE(std::abs(x) < std::sqrt(6 / fan));
  }
}

BOOST_AUTO_TEST_CASE(an_initial_value_is_the_word_its_place_names) {
  const auto d = test::dit_block(test::small_config(), {0, 1, 0, 1});
  const auto values = initialized(*d, 11, DType::float64);
  const std::string name = "layers.0.attention.projection.weight";
  const auto words = kernels::random_words({11, kernels::Purpose::initialization, 0}, name_hash(name), 0, 9);
  const double bound = std::sqrt(6.0 / 24);
  BOOST_TEST(values.at(name)[38] == bound * (2 * kernels::uniform_open(words[2]) - 1));
  const auto rounded = initialized(*d, 11, DType::float32);
  BOOST_TEST(rounded.at(name)[38] == static_cast<double>(static_cast<float>(values.at(name)[38])));
}

BOOST_AUTO_TEST_CASE(padding_and_what_does_not_decay_are_found) {
  ParameterLayout layout;
  layout.add_xavier("a.weight", 3, 5);          // 0 to 15, to 16
  layout.add_zeros("a.bias", {3});              // 16 to 19, to 32
  layout.add_normal("table", 4, 4, 0.1, true);  // 32 to 48
  layout.add_zeros("b.weight", {2, 16});        // 48 to 80
  layout.add_zeros("b.bias", {2});              // 80 to 82, to 96
  const std::int64_t elements = layout.elements();
  const std::vector<Parameter> parameters = layout.take();
  const std::vector<kernels::ElementRange> padding{{15, 16}, {19, 32}, {82, 96}}, undecayed{{16, 48}, {80, 96}};
  BOOST_TEST(elements == 96);
  BOOST_TEST((padding_of(parameters, elements) == padding));
  BOOST_TEST((undecayed_of(parameters, elements) == undecayed));
}

BOOST_AUTO_TEST_CASE(what_blocks_share_starts_from_the_seed_of_the_run) {
  ParameterLayout layout;
  layout.add_xavier("a.weight", 3, 5);                    // 0 to 15, to 16
  layout.add_shared_table("embedding.table", 3, 6, 0.5);  // 16 to 34, to 48
  layout.add_normal("own.table", 4, 4, 0.5, true);        // 48 to 64
  layout.add_shared_table("other.table", 2, 8, 0.5);      // 64 to 80
  const std::int64_t elements = layout.elements();
  const std::vector<Parameter> parameters = layout.take();
  const std::vector<kernels::ElementRange> shared{{16, 34}, {64, 80}}, undecayed{{16, 80}};
  BOOST_TEST((shared_of(parameters) == shared));
  BOOST_TEST((undecayed_of(parameters, elements) == undecayed));
  const auto with = [&](std::uint64_t seed, std::uint64_t run) {
    const HostTensor flat(DType::float32, {elements});
    initialize(*flat, parameters, seed, run);
    std::vector<std::vector<double>> values;
    for (const Parameter& p : parameters) values.push_back(test::values_of(view_of(*flat, p)));
    return values;
  };
  const auto of_block = with(1, 7), of_another = with(2, 7), of_another_run = with(1, 8), alone = with(7, 7);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    BOOST_TEST((of_block[i] == of_another[i]) == parameters[i].shared, parameters[i].name);
    BOOST_TEST((of_block[i] == of_another_run[i]) == !parameters[i].shared, parameters[i].name);
    BOOST_TEST((of_block[i] == alone[i]) == parameters[i].shared, parameters[i].name);
  }
}

}  // namespace blocktrain::blocks
