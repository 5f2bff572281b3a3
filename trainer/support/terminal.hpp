#pragma once
/// The terminal that a person watches, if there is one.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace blocktrain::trainer {

struct TerminalSize {
  int columns = 80, rows = 24;
};

/// Asks for the size of a terminal, which may change at any time.
using AskTerminalSize = std::function<TerminalSize()>;

/// How to ask for the size of the terminal behind `output`, a descriptor of this process; empty where none is that can
/// redraw lines: `output` goes to a file or a pipe, or TERM is unset or dumb. A launcher may hand its ranks a
/// pseudo-terminal of its own while its output goes elsewhere, so under mpirun it is mpirun's output that counts.
AskTerminalSize watched_terminal(int output);

/// The size that the terminal behind `file` has now; where it does not know (0 columns), by COLUMNS and LINES, else
/// 80 x 24.
TerminalSize terminal_size(int file);

/// Columns that a line may take so that no terminal goes on to the next: at least one.
int usable_columns(const TerminalSize& size);

/// The first `columns` columns of `text`, which is one line: control characters become '?', no character is cut in two.
std::string fitted(std::string_view text, int columns);

}  // namespace blocktrain::trainer
