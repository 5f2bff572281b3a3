#pragma once
/// What the tests of checkpoints share: a small block with state to save, a fresh folder, and files to damage.

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/random.hpp"
#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/commit.hpp"

namespace blocktrain::trainer::test {

/// A fresh folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "blocktrain-checkpoint-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline const std::string identity_a(64, 'a');
inline const std::string identity_b(64, 'b');

/// Parameters with padding between them, of one to four dimensions.
inline std::vector<blocks::Parameter> small_parameters() {
  std::vector<blocks::Parameter> list;
  std::int64_t offset = 0;
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    std::int64_t size = 1;
    for (const std::int64_t d : shape) size *= d;
    blocks::Parameter p;
    p.name = std::move(name);
    p.shape = std::move(shape);
    p.offset = offset;
    p.size = size;
    list.push_back(p);
    offset += (size + 15) / 16 * 16;
  };
  add("patch.weight", {3, 2, 2, 2});
  add("layers.4.attention.qkv.weight", {6, 2});
  add("layers.4.attention.qkv.bias", {6});
  add("layers.5.modulation.weight", {2, 3, 5});
  return list;
}

/// `count` parameters: more than a block of a real network has layers' worth of.
inline std::vector<blocks::Parameter> many_parameters(int count) {
  std::vector<blocks::Parameter> list;
  for (int i = 0; i < count; ++i) {
    blocks::Parameter p;
    p.name = "layers." + std::to_string(i / 10) + ".tensor" + std::to_string(i % 10) + ".weight";
    p.shape = {1 + i % 3, 7};
    p.size = 7 * (1 + i % 3);
    p.offset = 32 * i;
    list.push_back(p);
  }
  return list;
}

/// A block's state; numbers depend on block and step alone.
struct State {
  std::vector<float> parameters, first_moment, second_moment, average;

  BlockTensors<const float> view() const { return {parameters, first_moment, second_moment, average}; }
  BlockTensors<float> writable() { return {parameters, first_moment, second_moment, average}; }
};

inline std::size_t flat_size(const std::vector<blocks::Parameter>& parameters) {
  return static_cast<std::size_t>((parameters.back().offset + parameters.back().size + 15) / 16 * 16);
}

inline State make_state(const std::vector<blocks::Parameter>& parameters, int block, std::int64_t step, bool average) {
  const auto fill = [&](std::uint32_t table) {
    std::vector<float> values(flat_size(parameters), 0.0f);
    for (const blocks::Parameter& p : parameters) {
      for (std::int64_t i = 0; i < p.size; ++i) {
        const auto at = static_cast<std::uint32_t>(p.offset + i);
        const auto words = kernels::random_words({.seed = 7, .block = static_cast<std::uint32_t>(block)},
                                                 static_cast<std::uint32_t>(step), table, at);
        const auto value = static_cast<float>(kernels::uniform_open(words[0]));
        values[at] = table == 2 ? value : 2 * value - 1;
      }
    }
    return values;
  };
  return {.parameters = fill(0),
          .first_moment = fill(1),
          .second_moment = fill(2),
          .average = average ? fill(3) : std::vector<float>()};
}

/// A state of the same size full of a number that no test writes.
inline State blank_state(const std::vector<blocks::Parameter>& parameters, bool average) {
  const std::vector<float> blank(flat_size(parameters), -77.0f);
  return {.parameters = blank,
          .first_moment = blank,
          .second_moment = blank,
          .average = average ? blank : std::vector<float>()};
}

inline BlockFileHeader make_header(int block, std::int64_t step, int blocks = 4) {
  return {.block = block,
          .blocks = blocks,
          .step = step,
          .seed = 0x8000000000000001u,
          .experiment = identity_a,
          .training = TrainingMode::block_local,
          .first_layer = 3 * block,
          .layers = 3,
          .average = false};
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Overwrites in place: emptying a file first makes some file systems wait for the disk.
inline void overwrite_bytes(const std::filesystem::path& path, const std::string& bytes) {
  {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
  }
  if (std::filesystem::file_size(path) != bytes.size()) std::filesystem::resize_file(path, bytes.size());
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

/// A check for BOOST_CHECK_EXCEPTION: the message has all these parts. Says what it was otherwise.
struct Mentions {
  std::vector<std::string> parts;

  bool operator()(const std::exception& error) const {
    const std::string message = error.what();
    for (const std::string& part : parts) {
      if (message.find(part) == std::string::npos) {
        BOOST_TEST_MESSAGE("the message is: " << message << "\nand lacks: " << part);
        return false;
      }
    }
    return true;
  }
};

inline int files_aside(const std::filesystem::path& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    count += entry.path().filename().string().find(".tmp-") != std::string::npos ? 1 : 0;
  }
  return count;
}

}  // namespace blocktrain::trainer::test
