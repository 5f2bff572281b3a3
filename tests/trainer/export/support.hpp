#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include "kernels/random.hpp"
#include "trainer/eval/trained_network.hpp"

namespace blocktrain::trainer::testing {

inline std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Replaces every weight by a random number, so that every parameter has an effect on the output: after a few steps of
/// training the gates are still almost shut.
inline void open_every_gate(TrainedNetwork& network) {
  for (int b = 0; b < network.blocks(); ++b) {
    for (const blocks::Parameter& p : network.block(b).parameters()) {
      float* values = network.parameters(b).as<float>() + p.offset;
      for (std::int64_t e = 0; e < p.size; ++e) {
        const auto word = kernels::random_words({1, kernels::Purpose::test, static_cast<std::uint32_t>(b)}, 0,
                                                static_cast<std::uint32_t>(p.offset), static_cast<std::uint32_t>(e))[0];
        values[e] = static_cast<float>(0.8 * kernels::uniform_open(word) - 0.4);
      }
    }
  }
}

}  // namespace blocktrain::trainer::testing
