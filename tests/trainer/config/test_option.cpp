// Values on the command line are read by the rules of the config.
#include <boost/test/unit_test.hpp>

#include "kernels/error.hpp"
#include "tests/trainer/config/support.hpp"
#include "trainer/config/option.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;

BOOST_AUTO_TEST_SUITE(config_option)

namespace {

std::string refusal(const std::string& option, const std::string& text, const SettingValue& value) {
  try {
    read_option(option, text, value);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_CASE(integers_are_decimal_and_in_range) {
  std::uint64_t seed = 5;
  for (const char* wrong : {"010", "-1", "0x10", "1e3", "+1", " 1", "1 ", "1.0", "", "18446744073709551616", "\"1\""}) {
    const std::string said = refusal("--seed", wrong, SeedValue{&seed});
    BOOST_TEST(said.starts_with("--seed: found "), wrong << ": " << said);
    BOOST_TEST(contains(said, "accepted: an integer from 0 to 18446744073709551615"), said);
    BOOST_TEST(seed == 5u);
  }
  BOOST_TEST(refusal("--seed", "18446744073709551615", SeedValue{&seed}) == "");
  BOOST_TEST(seed == 18446744073709551615u);

  int count = 5;
  for (const char* wrong : {"0", "65537", "007", "1_000", "99999999999999999999"}) {
    BOOST_TEST(
        contains(refusal("--count", wrong, IntValue{&count, {1, 65536}}), "accepted: an integer from 1 to 65536"),
        wrong);
  }
  BOOST_TEST(count == 5);
  BOOST_TEST(refusal("--count", "65536", IntValue{&count, {1, 65536}}) == "");
  BOOST_TEST(count == 65536);
}

BOOST_AUTO_TEST_CASE(numbers_are_finite_and_decimal) {
  double guidance = 5;
  for (const char* wrong : {"nan", "inf", "0x3", "1e400", "-0.5", "100.5", "", "one"}) {
    BOOST_TEST(contains(refusal("--guidance", wrong, NumberValue{&guidance, {0, 100}}), "a number from 0 to 100"),
               wrong);
  }
  BOOST_TEST(guidance == 5);
  BOOST_TEST(refusal("--guidance", "0", NumberValue{&guidance, {0, 100}}) == "");
  BOOST_TEST(guidance == 0);
  BOOST_TEST(refusal("--guidance", "1.5e0", NumberValue{&guidance, {0, 100}}) == "");
  BOOST_TEST(guidance == 1.5);
}

BOOST_AUTO_TEST_CASE(lists_have_no_gaps) {
  std::vector<int> labels{5};
  const IntListValue field{&labels, {0, 9}, {1, 4}};
  for (const char* wrong : {"3,,4", ",3", "3,", "", "3, 4", "3;4", "03", "-1", "10", "1,2,3,4,5"}) {
    BOOST_TEST(contains(refusal("--labels", wrong, field), "--labels: found"), wrong);
    BOOST_TEST(labels == std::vector<int>{5});
  }
  BOOST_TEST(contains(refusal("--labels", "3,,4", field), "(item 2)"));
  BOOST_TEST(refusal("--labels", "3,0,9", field) == "");
  BOOST_TEST((labels == std::vector<int>{3, 0, 9}));
  BOOST_TEST(refusal("--labels", "7", field) == "");
  BOOST_TEST(labels == std::vector<int>{7});
}

BOOST_AUTO_TEST_SUITE_END()
