#include "trainer/support/terminal.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "comm/launch.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

/// Of the environment variable `name`, where it is a number that a terminal can have; else `otherwise`.
int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc{} && stop == end && value > 0 ? value : otherwise;
}

bool can_redraw_lines() {
  const char* term = std::getenv("TERM");
  return term != nullptr && *term != '\0' && std::strcmp(term, "dumb") != 0;
}

/// The path of the terminal that the launcher's `output` is; empty where it is none.
std::string terminal_of_launcher(int output) {
  char target[256];
  const std::string link = "/proc/" + std::to_string(getppid()) + "/fd/" + std::to_string(output);
  const ssize_t n = readlink(link.c_str(), target, sizeof(target) - 1);
  if (n <= 0) return "";
  const std::string name(target, static_cast<std::size_t>(n));
  return name.rfind("/dev/pts/", 0) == 0 || name.rfind("/dev/tty", 0) == 0 ? name : std::string();
}

}  // namespace

AskTerminalSize watched_terminal(int output) {
  if (isatty(output) == 0 || !can_redraw_lines()) return {};
  if (!comm::launched_by_mpirun()) return [output] { return terminal_size(output); };
  const std::string name = terminal_of_launcher(output);
  if (name.empty()) return {};
  const auto file =
      std::make_shared<FileDescriptor>(::open(name.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!file->open()) return [] { return TerminalSize{}; };  // somebody else's; all that is known is that there is one
  return [file] { return terminal_size(file->get()); };
}

TerminalSize terminal_size(int file) {
  struct winsize size {};
  if (ioctl(file, TIOCGWINSZ, &size) != 0) size = {};
  const TerminalSize unknown;
  return {size.ws_col > 0 ? size.ws_col : from_environment("COLUMNS", unknown.columns),
          size.ws_row > 0 ? size.ws_row : from_environment("LINES", unknown.rows)};
}

int usable_columns(const TerminalSize& size) { return std::max(1, size.columns - 1); }

std::string fitted(std::string_view text, int columns) {
  std::string line;
  int taken = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool goes_on = (byte & 0xc0) == 0x80;  // inside a character of UTF-8
    if (!goes_on && taken++ == columns) break;
    line += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return line;
}

}  // namespace blocktrain::trainer
