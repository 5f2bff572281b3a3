// What the live display leaves on a terminal: one frame, as wide and high as there is room, whatever happens to the
// size.

#include "trainer/coordinator/progress.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "trainer/support/terminal.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;

/// As much of a terminal as the display uses: lines that wrap at the right edge and scroll at the bottom.
class Screen {
 public:
  explicit Screen(TerminalSize size) { resize(size); }

  /// What many terminals do: cells that have no place any more are cut off, nothing is wrapped anew.
  void resize(TerminalSize size) {
    columns_ = static_cast<std::size_t>(size.columns > 0 ? size.columns : 80);
    rows_ = static_cast<std::size_t>(size.rows > 0 ? size.rows : 24);
    lines_.resize(std::max(lines_.size(), top_ + rows_));
    for (std::string& line : lines_) line = line.substr(0, columns_);
    column_ = std::min(column_, columns_ - 1);
  }
  void take(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\n') {
        column_ = 0;  // the driver of a terminal makes \r\n of it
        down();
      } else if (c == '\r') {
        column_ = 0;
      } else if (c == '\x1b') {
        BOOST_REQUIRE(text[++i] == '[');
        int number = 0;
        while (std::isdigit(static_cast<unsigned char>(text[++i])) != 0) number = 10 * number + (text[i] - '0');
        if (text[i] == 'A') {
          row_ = std::max(top_, row_ - std::min(row_, static_cast<std::size_t>(number)));
        } else {
          BOOST_REQUIRE(text[i] == 'J');
          lines_[row_].resize(column_);
          for (std::size_t r = row_ + 1; r < lines_.size(); ++r) lines_[r].clear();
        }
      } else {
        if (column_ == columns_) {
          column_ = 0;
          down();
          ++wrapped;
        }
        lines_[row_].resize(std::max(lines_[row_].size(), column_ + 1), ' ');
        lines_[row_][column_++] = c;
      }
    }
  }
  /// Lines that hold something, those scrolled away included.
  std::vector<std::string> lines() const {
    std::vector<std::string> full;
    for (const std::string& line : lines_) {
      if (line.find_first_not_of(' ') != std::string::npos) full.push_back(line);
    }
    return full;
  }
  int count(const std::string& part) const {
    int n = 0;
    for (const std::string& line : lines()) n += line.find(part) != std::string::npos ? 1 : 0;
    return n;
  }
  int wrapped = 0;

 private:
  void down() {
    if (++row_ < top_ + rows_) return;
    ++top_;
    lines_.emplace_back();
  }
  std::size_t columns_ = 80, rows_ = 24, top_ = 0, row_ = 0, column_ = 0;
  std::vector<std::string> lines_;
};

/// A display whose output is read back after every frame.
/// Of the update that makes `steps` of them.
StepRecord record(int block, std::int64_t steps, std::int64_t tokens) {
  StepRecord r;
  r.block = block;
  r.step = steps - 1;
  r.tokens = tokens;
  r.loss = 0.5;
  r.level_lo = 0.123456;
  r.level_hi = 80;
  return r;
}

class Display {
 public:
  Display(TerminalSize first, int block_count)
      : size(first),
        screen(first),
        blocks(block_count),
        file_(std::tmpfile()),
        progress(
            file_, [this] { return size; }, block_count) {
    progress.set_energy("joules: none (/sys/class/powercap holds no sensor; see blocktrain doctor)");
  }
  ~Display() { std::fclose(file_); }
  void step(std::int64_t step) {
    for (int b = 0; b < blocks; ++b) progress.step(record(b, step, 4096), 100000, now_);
  }
  std::string draw(bool force = false) {
    now_ += std::chrono::seconds(1);
    std::rewind(file_);
    BOOST_REQUIRE(ftruncate(fileno(file_), 0) == 0);
    progress.draw(now_, force);
    std::rewind(file_);
    std::string text;
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) text += static_cast<char>(c);
    screen.take(text);
    return text;
  }
  TerminalSize size;
  Screen screen;
  int blocks;

 private:
  std::FILE* file_;
  Clock::time_point now_ = Clock::now();

 public:
  Progress progress;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(progress_display)

BOOST_AUTO_TEST_CASE(frames_replace_each_other_at_every_width) {
  for (const int columns : {300, 120, 80, 79, 40, 20, 9, 2, 1}) {
    Display display({columns, 24}, 4);
    for (int i = 1; i <= 20; ++i) {
      display.step(i);
      display.draw();
    }
    BOOST_TEST_CONTEXT(columns << " columns") {
      BOOST_TEST(display.screen.wrapped == 0);
      BOOST_TEST(display.screen.lines().size() == 5u);
      if (columns >= 10) BOOST_TEST(display.screen.count("block 3") == 1);
      if (columns >= 40) BOOST_TEST(display.screen.count("step     20/100000") == 4);
      if (columns >= 79) BOOST_TEST(display.screen.count("tokens/s") == 4);
      if (columns >= 120) BOOST_TEST(display.screen.count("sigma 0.123..80") == 4);
      // What is printed next stands below the last frame.
      display.progress.set_state(2, "FAILED");
      display.draw(true);
      display.screen.take("e\n");
      BOOST_TEST(display.screen.lines().size() == 6u);
      BOOST_TEST(display.screen.lines().back() == "e");
      if (columns >= 60) BOOST_TEST(display.screen.count("FAILED") == 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_there_is_no_room_for_goes_first_that_is_missed_least) {
  const std::string block = "block 0  ", bar = "[##########..........] ", half_bar = "[#####.....] ",
                    step = "step  50000/100000", share = "  50%", loss = "  loss 0.5000  ", rate = "       0 tokens/s",
                    sigma = "  sigma 0.123..80";
  const std::vector<std::string> lines{block + bar + step + share + loss + rate + sigma,
                                       block + bar + step + share + loss + rate,
                                       block + half_bar + step + share + loss + rate,
                                       block + step + share + loss + rate,
                                       block + step + share + loss,
                                       block + step + loss,
                                       block + step + share,
                                       block + step};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const int narrowest = static_cast<int>(lines[i].size());
    const int widest = i == 0 ? narrowest + 40 : static_cast<int>(lines[i - 1].size()) - 1;
    for (const int columns : {narrowest, widest}) {
      Display display({columns + 1, 24}, 2);  // the last column stays free
      display.step(50000);
      display.draw();
      BOOST_TEST(display.screen.lines().front() == lines[i], columns << " columns: " << display.screen.lines().front());
    }
  }
}

BOOST_AUTO_TEST_CASE(the_size_may_change_between_any_two_frames) {
  Display display({120, 24}, 4);
  int step = 0;
  for (const TerminalSize size : {TerminalSize{120, 24}, {80, 24}, {40, 30}, {200, 24}, {1, 24}, {60, 24}, {80, 12}}) {
    display.size = size;
    display.screen.resize(size);
    for (int i = 0; i < 3; ++i) {
      display.step(++step);
      display.draw();
      BOOST_TEST(display.screen.lines().size() == 5u, size.columns << " columns, " << display.screen.lines().size());
    }
  }
  BOOST_TEST(display.screen.wrapped == 0);
}

BOOST_AUTO_TEST_CASE(more_blocks_than_lines_do_not_scroll) {
  Display display({80, 10}, 64);
  for (int i = 1; i <= 20; ++i) {
    display.step(i);
    if (i > 10) {
      for (int b = 0; b < 30; ++b) display.progress.set_state(b, "done");
    }
    display.draw();
  }
  BOOST_TEST(display.screen.lines().size() == 8u);
  BOOST_TEST(display.screen.count("58 more blocks; 30 of all 64 are done") == 1);
  BOOST_TEST(display.screen.count("block 30") == 1);  // those that still train come first
  BOOST_TEST(display.screen.count("elapsed") == 1);
}

BOOST_AUTO_TEST_CASE(lines_of_others_stay) {
  Display display({80, 24}, 4);
  display.step(1);
  display.draw();
  display.screen.take("blocktrain: warning: something\n");
  display.step(2);
  display.draw();
  display.draw();
  BOOST_TEST(display.screen.lines().size() == 6u);
  BOOST_TEST(display.screen.lines().front() == "blocktrain: warning: something");
}

BOOST_AUTO_TEST_CASE(without_a_terminal_lines_follow_each_other) {
  std::FILE* file = std::tmpfile();
  Progress progress(file, {}, 2);
  const Clock::time_point now = Clock::now() + std::chrono::seconds(60);
  progress.step(record(0, 5, 10), 10, now);
  progress.draw(now);
  progress.draw(now + std::chrono::seconds(1));  // not yet
  progress.draw(now + std::chrono::seconds(11));
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  std::fclose(file);
  BOOST_TEST(text.find('\x1b') == std::string::npos);
  BOOST_TEST(text.find('\r') == std::string::npos);
  BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 6);
  BOOST_TEST(text.find("block 0  step      5/10") != std::string::npos, text);
}

BOOST_AUTO_TEST_CASE(levels_are_called_what_they_are) {
  for (const bool masks : {false, true}) {
    std::FILE* file = std::tmpfile();
    Progress progress(file, {}, 1, masks);
    const Clock::time_point now = Clock::now() + std::chrono::seconds(60);
    progress.step(record(0, 5, 10), 10, now);
    progress.draw(now);
    std::rewind(file);
    std::string text;
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
    std::fclose(file);
    BOOST_TEST(text.find(masks ? "  masked 0.123..80" : "  sigma 0.123..80") != std::string::npos, text);
  }
}

BOOST_AUTO_TEST_CASE(lines_are_cut_between_characters) {
  BOOST_TEST(fitted("plain", 10) == "plain");
  BOOST_TEST(fitted("plain", 3) == "pla");
  BOOST_TEST(fitted("plain", 0).empty());
  BOOST_TEST(fitted("\xc3\xa9\xc3\xa9\xc3\xa9", 2) == "\xc3\xa9\xc3\xa9");
  BOOST_TEST(fitted("a\x1b[2Jb\n", 10) == "a?[2Jb?");
  BOOST_TEST(usable_columns({0, 0}) == 1);
  BOOST_TEST(usable_columns({1, 1}) == 1);
  BOOST_TEST(usable_columns({80, 24}) == 79);
}

BOOST_AUTO_TEST_CASE(a_size_that_is_not_known_is_asked_of_the_environment) {
  std::FILE* file = std::tmpfile();
  setenv("COLUMNS", "33", 1);
  setenv("LINES", "-4", 1);
  const TerminalSize size = terminal_size(fileno(file));
  unsetenv("COLUMNS");
  unsetenv("LINES");
  BOOST_TEST(size.columns == 33);
  BOOST_TEST(size.rows == 24);
  BOOST_TEST(terminal_size(fileno(file)).columns == 80);
  BOOST_TEST(!watched_terminal(fileno(file)));
  std::fclose(file);
}

BOOST_AUTO_TEST_CASE(a_terminal_says_its_size) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) {
    BOOST_TEST_MESSAGE("SKIPPED: this system has no pseudo-terminals");
    return;
  }
  setenv("COLUMNS", "33", 1);
  setenv("LINES", "44", 1);
  for (const int n : {1, 2, 300}) {
    struct winsize size {};
    size.ws_col = static_cast<unsigned short>(n);
    size.ws_row = static_cast<unsigned short>(n);
    BOOST_REQUIRE(ioctl(terminal, TIOCSWINSZ, &size) == 0);
    BOOST_TEST(terminal_size(terminal).columns == n);
    BOOST_TEST(terminal_size(terminal).rows == n);
  }
  struct winsize none {};  // what a terminal has that nobody told
  BOOST_REQUIRE(ioctl(terminal, TIOCSWINSZ, &none) == 0);
  BOOST_TEST(terminal_size(terminal).columns == 33);
  BOOST_TEST(terminal_size(terminal).rows == 44);
  unsetenv("COLUMNS");
  unsetenv("LINES");
  close(terminal);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
