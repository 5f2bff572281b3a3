#include "tests/blocks/fixture.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace blocktrain::blocks::test {
namespace {

template <class T>
std::vector<double> convert(const char* begin, const char* end) {
  std::vector<double> out;
  for (; begin < end; begin += sizeof(T)) {
    T value;
    std::memcpy(&value, begin, sizeof(T));
    out.push_back(static_cast<double>(value));
  }
  return out;
}

}  // namespace

Fixture Fixture::read(const std::string& path) {
  const char* root = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  std::ifstream file((root == nullptr ? std::string(".") : std::string(root)) + "/" + path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path + " (BLOCKTRAIN_TEST_SOURCE_DIR names the repository)");
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::uint64_t header = 0;
  if (bytes.size() < sizeof header) throw std::runtime_error(path + " is cut off");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header > bytes.size() - sizeof header) throw std::runtime_error(path + " is cut off");
  const auto json = nlohmann::json::parse(bytes.substr(sizeof header, header));
  const char* const data = bytes.data() + sizeof header + header;
  const std::uint64_t size = bytes.size() - sizeof header - header;

  Fixture out;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      out.metadata = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    const auto offsets = entry.at("data_offsets").get<std::vector<std::uint64_t>>();
    if (offsets.at(0) > offsets.at(1) || offsets[1] > size)
      throw std::runtime_error(path + ": " + name + " is cut off");
    const char *const begin = data + offsets[0], *const end = data + offsets[1];
    const std::string type = entry.at("dtype");
    if (type == "F32") {
      out.tensors[name] = convert<float>(begin, end);
    } else if (type == "F64") {
      out.tensors[name] = convert<double>(begin, end);
    } else if (type == "I32") {
      out.tensors[name] = convert<std::int32_t>(begin, end);
    } else {
      throw std::runtime_error(path + ": " + name + " is of unknown type " + type);
    }
  }
  return out;
}

const std::vector<double>& Fixture::at(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw std::runtime_error("the fixture has no tensor " + name);
  return found->second;
}

}  // namespace blocktrain::blocks::test
