#pragma once
/// What the program says to people while it works. Nobody may be there to read it: the terminal is closed, the other
/// end of the pipe is gone (`| head -1`), full, or stopped (Ctrl-S, a pager). That never ends or holds up what it tells
/// of; what is not taken soon is dropped.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace blocktrain::trainer {

/// Writes `text` behind what `out` has buffered. Returns whether all was taken within `patience`. Throws nothing.
bool write_output(std::FILE* out, std::string_view text,
                  std::chrono::milliseconds patience = std::chrono::milliseconds(500)) noexcept;

/// A line or more for people, in the way of fmt::print.
template <class... T>
void show(std::FILE* out, fmt::format_string<T...> format, T&&... values) {
  write_output(out, fmt::format(format, std::forward<T>(values)...));
}
template <class... T>
void show(fmt::format_string<T...> format, T&&... values) {
  write_output(stdout, fmt::format(format, std::forward<T>(values)...));
}

/// "blocktrain: TEXT" on the standard error.
void complain(std::string_view text) noexcept;

/// Makes a write to a pipe that nobody reads an error of that write (ignored) instead of the end of the program, for
/// commands that do more than to print; or ends the program in silence as Unix tools do, for those that do not.
enum class UnreadOutput { is_dropped, ends_the_program };
void set_unread_output(UnreadOutput what) noexcept;

/// Of a command whose output is what it was asked for: false where some of it could not be written (a full disk), with
/// errno. Nothing is buffered afterwards.
bool output_is_written() noexcept;

}  // namespace blocktrain::trainer
