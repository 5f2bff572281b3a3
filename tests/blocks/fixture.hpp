#pragma once
/// Reads a fixture in the safetensors format (tests/fixtures/dit/generate.py says what is in it).

#include <map>
#include <string>
#include <vector>

namespace blocktrain::blocks::test {

struct Fixture {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<double>> tensors;

  /// Path relative to the root of the repository. Throws std::runtime_error on anything it does not understand.
  static Fixture read(const std::string& path);

  const std::vector<double>& at(const std::string& name) const;
  std::int64_t integer(const std::string& key) const { return std::stoll(metadata.at(key)); }
  double number(const std::string& key) const { return std::stod(metadata.at(key)); }
};

}  // namespace blocktrain::blocks::test
