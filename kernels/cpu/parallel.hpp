#pragma once
/// Loops over independent pieces of work. What is a piece is decided by shapes alone, never by the number of
/// threads, so results are the same bits on any number of them.

#include <cstdint>
#include <memory>
#include <type_traits>

#include "kernels/cpu/team.hpp"

namespace blocktrain::kernels {

// GCC alone knows noipa; to others noinline says enough.
#if defined(__GNUC__) && !defined(__clang__)
#define BLOCKTRAIN_ONE_COPY [[gnu::noipa]]
#else
#define BLOCKTRAIN_ONE_COPY [[gnu::noinline]]
#endif

namespace detail {

/// The one compiled copy of a piece of work: inlined into the serial and the threaded loop, the compiler may order a
/// sum differently in each, and then bits would depend on the number of threads.
template <class F>
BLOCKTRAIN_ONE_COPY void call_piece(F& f, std::int64_t i, [[maybe_unused]] int thread) {
  if constexpr (std::is_invocable_v<F&, std::int64_t, int>) {
    f(i, thread);
  } else {
    f(i);
  }
}

}  // namespace detail

/// Calls f(i), or f(i, thread) with thread in [0, threads), for every i in [0, count). Pieces are handed to
/// threads in order, as they become free. With one thread or piece, and inside a piece: a plain loop in the caller.
/// f must not throw. Several threads of a process may call this at once; each has its own team (kernels/cpu/team.hpp).
template <class F>
void parallel_for(int threads, std::int64_t count, F&& f) {
  using Function = std::remove_reference_t<F>;
  if (threads > 1 && count > 1 && !detail::inside_piece()) {
    const auto piece = [](void* context, std::int64_t i, int thread) {
      detail::call_piece(*static_cast<Function*>(context), i, thread);
    };
    detail::run_pieces(threads, count, piece, const_cast<std::remove_const_t<Function>*>(std::addressof(f)));
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) detail::call_piece(f, i, 0);
}

/// Calls f(begin, end), or f(begin, end, thread), for consecutive pieces of at most `piece` indices of [0, count).
template <class F>
void parallel_ranges(int threads, std::int64_t count, std::int64_t piece, F&& f) {
  parallel_for(threads, (count + piece - 1) / piece, [&](std::int64_t i, [[maybe_unused]] int thread) {
    const std::int64_t begin = i * piece;
    const std::int64_t end = begin + piece < count ? begin + piece : count;
    if constexpr (std::is_invocable_v<F&, std::int64_t, std::int64_t, int>) {
      f(begin, end, thread);
    } else {
      f(begin, end);
    }
  });
}

/// Elements of a piece of an elementwise loop: 64 KiB of float32, so a piece and its operands stay in a core's cache.
constexpr std::int64_t elementwise_piece = 16384;

/// Rows of `width` elements in a piece of about that size.
constexpr std::int64_t rows_per_piece(std::int64_t width) {
  return width >= elementwise_piece ? 1 : elementwise_piece / width;
}

}  // namespace blocktrain::kernels
