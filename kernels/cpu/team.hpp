#pragma once
/// The threads that the CPU ops compute on. Each thread that calls an op has a team of its own: itself and workers,
/// which are started when they are first needed, wait between loops, and end with their caller.
///
/// Waiting costs nothing for long: a worker looks out for the next loop for a few dozen microseconds, which is longer
/// than most pauses between two ops, and then sleeps. So a team whose members share their cores with others (other
/// ranks, other programs) does not take the time of those it waits for. Nor does a loop wait for a worker that took no
/// part in it.
///
/// OMP_WAIT_POLICY (active: look out without end; passive: sleep at once) and GOMP_SPINCOUNT (a number of looks,
/// "infinity") say otherwise, as they do for programs built with OpenMP.

#include <chrono>
#include <cstdint>

namespace blocktrain::kernels {

/// How long a member of a team looks out before it sleeps.
struct LookOut {
  std::chrono::nanoseconds time{0};
  std::int64_t looks = -1;  ///< from 0 on: so many looks instead
};

/// The default, or what the environment says, given the values of OMP_WAIT_POLICY and GOMP_SPINCOUNT (null: not set).
LookOut look_out(const char* wait_policy, const char* spin_count);

/// Starts the workers that the calling thread needs for loops on `threads` threads. Loops do so themselves; here it is
/// known early. Throws RunError where the system gives no thread, naming the limits.
void prepare_team(int threads);

namespace detail {

/// True inside a piece: a loop there runs in its own thread alone.
bool inside_piece() noexcept;

/// Calls piece(context, i, thread) for every i in [0, count) on the calling thread (thread 0) and up to threads - 1
/// workers. Not inside a piece. Throws as prepare_team(); a piece must not.
void run_pieces(int threads, std::int64_t count, void (*piece)(void*, std::int64_t, int), void* context);

}  // namespace detail
}  // namespace blocktrain::kernels
