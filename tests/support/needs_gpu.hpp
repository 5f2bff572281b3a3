#pragma once
/// For tests that need a GPU: BOOST_AUTO_TEST_SUITE(NAME, *boost::unit_test::fixture<NeedsGpu>()).

#include <cstdio>
#include <cstdlib>
#include <string>

#include "kernels/device.hpp"

namespace blocktrain::trainer::testing {

/// Ends the program as "skipped" where no GPU is.
struct NeedsGpu {
  NeedsGpu() {
    std::string why;
    if (kernels::cuda_devices(&why) > 0) return;
    std::printf("SKIPPED: %s\n", why.c_str());
    std::fflush(stdout);
    std::_Exit(77);
  }
};

}  // namespace blocktrain::trainer::testing
