#include "kernels/random.hpp"

#include <boost/test/unit_test.hpp>
#include <set>
#include <tuple>

using namespace blocktrain::kernels;

namespace {

/// The words as one comparable value.
std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t> words(const RandomKey& key, std::uint32_t step,
                                                                             std::uint32_t sample,
                                                                             std::uint32_t group) {
  const auto w = random_words(key, step, sample, group);
  return {w[0], w[1], w[2], w[3]};
}

BOOST_AUTO_TEST_CASE(philox_gives_the_published_answers) {
  // Known answers for philox4x32-10 as published with Random123, with counter and key in our coordinates.
  BOOST_CHECK(words({0, static_cast<Purpose>(0), 0}, 0, 0, 0) ==
              std::make_tuple(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  constexpr std::uint32_t ones = 0xffffffffu;
  BOOST_CHECK(words({~std::uint64_t{0}, static_cast<Purpose>(255), 0xffffffu}, ones, ones, ones) ==
              std::make_tuple(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0.
  BOOST_CHECK(words({0x299f31d0a4093822u, static_cast<Purpose>(0x03), 0x707344u}, 0x13198a2eu, 0x85a308d3u,
                    0x243f6a88u) == std::make_tuple(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

BOOST_AUTO_TEST_CASE(neighbouring_coordinates_share_no_words) {
  const RandomKey key{5, Purpose::noise, 2};
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>> seen;
  std::size_t asked = 0;
  const auto ask = [&](const RandomKey& k, std::uint32_t step, std::uint32_t sample, std::uint32_t group) {
    seen.insert(words(k, step, sample, group));
    ++asked;
  };
  for (std::uint32_t step = 0; step < 4; ++step) {
    for (std::uint32_t sample = 0; sample < 4; ++sample) {
      for (std::uint32_t group = 0; group < 4; ++group) ask(key, step, sample, group);
    }
  }
  ask({6, Purpose::noise, 2}, 0, 0, 0);
  ask({5 + (std::uint64_t{1} << 32), Purpose::noise, 2}, 0, 0, 0);
  ask({5, Purpose::sigma, 2}, 0, 0, 0);
  ask({5, Purpose::noise, 3}, 0, 0, 0);
  BOOST_TEST(seen.size() == asked);
}

BOOST_AUTO_TEST_CASE(uniform_numbers_lie_strictly_between_0_and_1) {
  BOOST_TEST(uniform_open(0) == 0x1p-33);
  BOOST_TEST(uniform_open(0xffffffffu) == 1 - 0x1p-33);
  BOOST_TEST(uniform_open(0x80000000u) == 0.5 + 0x1p-33);
}

}  // namespace
