// Damage of every kind in a small file: the digest notices all of it, and even without the digest the reader ends in
// an InputError or in numbers, never in a crash.

#include <boost/test/unit_test.hpp>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/manifest_writer.hpp"
#include "trainer/checkpoint/resume.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

struct Fixture {
  TemporaryFolder run;
  std::vector<blocks::Parameter> parameters = small_parameters();
  State state = make_state(parameters, 0, 10, false);
  State read = blank_state(parameters, false);
  BlockFileHeader header = make_header(0, 10, 1);
  std::filesystem::path folder = checkpoints_folder(run.path());
  CommittedFile file;
  std::string good;

  Fixture() {
    create_checkpoints_folder(run.path());
    file = commit_block(run.path(), header, parameters, state.view());
    good = read_bytes(folder / file.name);
  }

  /// Whether the reader, without a digest, takes these bytes for a checkpoint. Anything but InputError ends the test.
  bool accepted(const std::string& bytes) {
    overwrite_bytes(folder / file.name, bytes);
    try {
      read_block_file(folder / file.name, header, parameters, read.writable());
      return true;
    } catch (const InputError& error) {
      if (std::string(error.what()).find(file.name) == std::string::npos)
        BOOST_ERROR("no file name in: " << error.what());
      return false;
    }
  }
};

BOOST_FIXTURE_TEST_CASE(cut_files, Fixture) {
  for (std::size_t size = 0; size < good.size(); size += size < 512 ? 1 : 13) {
    const std::string cut = good.substr(0, size);
    if (accepted(cut)) BOOST_ERROR("accepted when cut to " << size << " bytes");
    const auto damage = find_damage(folder, file);
    if (!damage || damage->find("bytes instead of") == std::string::npos) BOOST_ERROR("not noticed: cut to " << size);
    // As long as before, the rest zeros: what a crash of the machine leaves without fsync.
    const std::string zeros = cut + std::string(good.size() - size, '\0');
    if (zeros == good) continue;
    accepted(zeros);
    if (!find_damage(folder, file)) BOOST_ERROR("not noticed: zeros from byte " << size);
  }
  BOOST_TEST(accepted(good));
  BOOST_TEST(!find_damage(folder, file).has_value());
}

BOOST_FIXTURE_TEST_CASE(flipped_bits, Fixture) {
  std::size_t refused = 0;
  for (std::size_t byte = 0; byte < good.size(); ++byte) {
    for (int bit = byte < 1024 ? 0 : static_cast<int>(byte % 8); bit < 8; bit += byte < 1024 ? 1 : 8) {
      std::string bytes = good;
      bytes[byte] = static_cast<char>(static_cast<unsigned char>(bytes[byte]) ^ (1u << bit));
      const bool taken = accepted(bytes);
      refused += taken ? 0 : 1;
      if (taken && byte < 48)
        BOOST_ERROR("accepted a superblock with bit " << bit << " of byte " << byte << " flipped");
      const auto damage = find_damage(folder, file);
      if (!damage || damage->find("SHA-256") == std::string::npos)
        BOOST_ERROR("not noticed: bit " << bit << " of byte " << byte);
    }
  }
  // HDF5's own checksums cover all but the numbers: most of this small file.
  BOOST_TEST(refused > good.size() / 2);
}

BOOST_FIXTURE_TEST_CASE(overwritten_pieces, Fixture) {
  for (std::uint32_t trial = 0; trial < 3000; ++trial) {
    const auto words = kernels::random_words({.seed = 5}, 0, 0, trial);
    std::string bytes = good;
    const std::size_t begin = words[0] % good.size(), length = 1 + words[1] % 64;
    for (std::size_t i = begin; i < std::min(begin + length, bytes.size()); ++i) {
      bytes[i] =
          static_cast<char>(kernels::random_words({.seed = 6}, trial, 0, static_cast<std::uint32_t>(i))[words[2] % 4]);
    }
    accepted(bytes);
    if (bytes != good && !find_damage(folder, file)) BOOST_ERROR("not noticed: trial " << trial);
  }
}

}  // namespace
}  // namespace blocktrain::trainer
