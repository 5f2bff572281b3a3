#pragma once
/// What this machine can do at best, measured, to compare the ops with.

namespace blocktrain::bench {

struct MachinePeak {
  double gflops;     ///< independent float32 multiply-adds in registers
  double gigabytes;  ///< bytes read and written per second by a triad over memory far larger than the caches
};

/// Best of several runs on `threads` threads.
MachinePeak measure_peak(int threads);

}  // namespace blocktrain::bench
