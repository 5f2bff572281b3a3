#pragma once
/// Small trained runs, made once per test binary, and what evaluation needs of them.

#include <string>
#include <vector>

#include "tests/trainer/train/support.hpp"

namespace blocktrain::trainer::testing {

/// A block-local run of 4 blocks, and its end-to-end twin, on the committed digits, to be computed on the CPU unless
/// parallel.device is overridden. Folders of this process.
const std::string& small_run();
const std::string& small_twin();

/// A copy of small_run() that a test may damage, as `name` inside `folder`.
std::string copy_of_run(const TemporaryFolder& folder, const std::string& name);

/// Such a copy that says it was trained in bfloat16, which a GPU alone can do.
std::string copy_trained_in_bfloat16(const TemporaryFolder& to, const std::string& name);

/// The checkpoint files of a block, newest first.
std::vector<std::string> checkpoint_files(const std::string& run, int block);

/// Inverts one byte in the middle of a file.
void damage(const std::string& path);

/// Whether the message of `action`'s InputError contains `part`; fails the test when it throws none.
bool refuses(const std::string& part, const auto& action);

std::string read_file(const std::string& path);

}  // namespace blocktrain::trainer::testing

#include <boost/test/unit_test.hpp>

#include "kernels/error.hpp"

namespace blocktrain::trainer::testing {

bool refuses(const std::string& part, const auto& action) {
  try {
    action();
  } catch (const InputError& e) {
    const bool found = std::string(e.what()).find(part) != std::string::npos;
    if (!found) BOOST_TEST_MESSAGE("the message was: " << e.what());
    return found;
  }
  BOOST_TEST_MESSAGE("nothing was refused");
  return false;
}

}  // namespace blocktrain::trainer::testing
