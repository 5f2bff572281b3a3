#pragma once
/// What is wrong with a config, from everywhere it was found, as one message.

#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace blocktrain::trainer {

/// Where a value was given: the file's place in the order of reports, and how a message names the place.
struct Origin {
  int order = 0;
  int line = 0;
  std::string place;
};

class Problems {
 public:
  /// Order of the command line: behind every file.
  static constexpr int command_line = std::numeric_limits<int>::max();

  void add(const Origin& origin, const std::string& key, const std::string& text);

  /// Whether one of that origin would be shown. A file's problems come in the order of its lines, so the first ones are
  /// those that the report can show; of the others (a hostile file has thousands) only the number is kept.
  bool shown_in_full(const Origin& origin) const;

  bool empty() const { return problems_.empty(); }

  /// A line for each of the first ten in the order of files and lines, and the number of the others.
  std::string report();

 private:
  struct Problem {
    int order = 0, line = 0;
    std::string text;
  };

  std::vector<Problem> problems_;  ///< those that may be shown
  std::map<int, std::size_t> problems_per_source_;
  std::size_t count_ = 0;
};

}  // namespace blocktrain::trainer
