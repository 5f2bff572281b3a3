#include <openssl/evp.h>

#include <array>

#include "kernels/error.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"

namespace blocktrain::trainer {

std::vector<int> layers_per_block(const Config& config) {
  if (!config.blocks.layers.empty()) return config.blocks.layers;
  const std::int64_t layers = config.model.layers, count = config.blocks.count;
  std::vector<int> split(static_cast<std::size_t>(count));
  for (std::int64_t b = 0; b < count; ++b) {
    split[static_cast<std::size_t>(b)] = static_cast<int>((b + 1) * layers / count - b * layers / count);
  }
  return split;
}

std::uint64_t block_seed(const Config& config, int block) {
  return config.blocks.seeds.empty() ? config.seed : config.blocks.seeds.at(static_cast<std::size_t>(block));
}

std::string experiment_identity(const Config& config) {
  Config resolved = config;
  resolved.blocks.layers = layers_per_block(config);
  resolved.blocks.seeds.clear();
  for (int b = 0; b < config.blocks.count; ++b) resolved.blocks.seeds.push_back(block_seed(config, b));
  // Where the data lie does not matter; that they are the same is checked by their digest.
  resolved.data.path.clear();
  resolved.data.format = DataFormat::automatic;
  if (config.optimizer.decay_steps < 0) resolved.optimizer.decay_steps = config.budget.steps;

  // The first line changes whenever the same keys come to mean other weights.
  std::string text = "blocktrain experiment 1\n";
  for (const Field& field : describe(resolved)) {
    if (field.section == "data" && (field.key == "shape" || field.key == "classes")) continue;  // the digest says it
    if (part_of_identity(field.section)) text += field.name() + "=" + to_yaml_value(field.value) + "\n";
  }
  std::array<unsigned char, 32> digest;
  unsigned length = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1 ||
      length != digest.size()) {
    throw RunError("libcrypto could not compute a SHA-256 digest; is this machine restricted to other digests?");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) hex += {digits[byte >> 4], digits[byte & 15]};
  return hex;
}

}  // namespace blocktrain::trainer
