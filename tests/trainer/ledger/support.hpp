#pragma once
/// What the tests of the ledger share: a folder that goes away, dice, rows.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/random.hpp"
#include "tests/support/whole_steps.hpp"
#include "trainer/ledger/run_ledger.hpp"

namespace blocktrain::trainer::test {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "blocktrain-ledger-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string name() const { return path.string(); }
  std::string write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((path / file).parent_path());
    std::ofstream(path / file, std::ios::binary) << text;
    return (path / file).string();
  }
  std::string read(const std::string& file) const {
    std::ifstream in(path / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

/// Numbers that are the same in every run of the test.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : key_{seed, kernels::Purpose::test, 0} {}
  double uniform() { return kernels::uniform_open(word()); }
  std::int64_t below(std::int64_t limit) { return static_cast<std::int64_t>(uniform() * static_cast<double>(limit)); }
  std::uint32_t word() { return kernels::random_words(key_, 0, 0, at_++)[0]; }

 private:
  kernels::RandomKey key_;
  std::uint32_t at_ = 0;
};

inline std::vector<nlohmann::json> rows_of(const std::string& text) {
  std::vector<nlohmann::json> rows;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

inline std::vector<nlohmann::json> rows_of(const std::string& text, const std::string& type) {
  std::vector<nlohmann::json> rows;
  for (auto& row : rows_of(text)) {
    if (row["type"] == type) rows.push_back(row);
  }
  return rows;
}

/// Step rows with what their change rows say.
inline std::vector<nlohmann::json> steps_of(const std::string& text) {
  return blocktrain::test::whole_steps(rows_of(text));
}

inline SourceStatus no_sensor(EnergySource source, const std::string& reason, int host = 0) {
  return {host, -1, source, false, "none", reason};
}

/// A step of 10 ms with values that tell blocks and steps apart; steps of a rank follow each other.
inline StepRecord step_record(int block, std::int64_t step, int rank = 0) {
  StepRecord r;
  r.block = block;
  r.step = step;
  r.rank = rank;
  r.tokens = 160;
  r.samples = 10;
  r.loss = 1.0 / static_cast<double>(step + 1);
  r.unweighted = 0.5 / static_cast<double>(step + 1);
  r.level_lo = 0.1;
  r.level_hi = 0.5 + block;
  r.learning_rate = 1e-3;
  r.gradient_norm = 2;
  r.seconds = 0.01;
  r.busy_begin = 1'000'000'000 + step * 10'000'000;
  r.busy_end = r.busy_begin + 10'000'000;
  r.unix_end = 1'700'000'000'000'000'000 + step * 10'000'000;
  r.bytes_sent = {0, 8, 100};
  r.memory_planned = 1000;
  r.memory_measured = 1000;
  return r;
}

}  // namespace blocktrain::trainer::test
