#pragma once
/// What the CPU ops of this build compute with, for `blocktrain doctor`.

#include <string>

namespace blocktrain::kernels {

/// The library of matrix products with its version and the kind of core it chose, e.g. "OpenBLAS 0.3.21 (Zen)".
std::string cpu_blas_name();
/// Whether a rank can compute on more than one thread (the build has OpenMP).
bool cpu_threads_supported();

}  // namespace blocktrain::kernels
