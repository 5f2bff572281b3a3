#pragma once

#include <boost/test/unit_test.hpp>
#include <string>

namespace blocktrain::kernels::testing {

/// Says once in a test's log that its part on GPUs did not run.
inline void skip_once(const std::string& why) {
  static bool said = false;
  if (!said) BOOST_TEST_MESSAGE("SKIPPED: the same on a GPU: " << why);
  said = true;
}

}  // namespace blocktrain::kernels::testing
