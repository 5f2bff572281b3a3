#pragma once
/// What the CPU ops of this build compute with, for `blocktrain doctor`.

#include <string>

namespace blocktrain::kernels {

/// What matrix products are computed with, e.g. "own packed kernels, AVX-512, 16 floats at a time".
std::string cpu_matrix_products();
/// Whether a rank can compute on more than one thread (the build has OpenMP).
bool cpu_threads_supported();

}  // namespace blocktrain::kernels
