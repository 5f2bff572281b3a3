#pragma once
/// Where the windows of a split lie: runs of `length` tokens, side by side, that a network sees as samples.
///
/// A stretch is what windows may lie in: a joined split is one, of documents kept apart each is one. In a stretch of n
/// tokens the windows of a pass begin at offset, offset + length, offset + 2 length, ..., as many in every pass:
///   joined   floor((n - length + 1) / length), at least one: whatever the offset modulo length is, there is room
///   apart    floor(n / length), for a window less would be much of a short document; of documents of 16 windows and
///   more
///            as of a joined split
///   held out floor(n / length), at offset 0
/// so a pass has each token at most once. Stretches shorter than a window have none.
///
/// An offset is drawn for every pass and stretch: of those below length for which there is room each is as likely, and
/// where there is room for it behind one more window's length too, it goes there half of the time. So every token is
/// seen in some pass, and those of a joined split away from its ends are in each place of a window equally often.

#include <cstdint>
#include <vector>

#include "trainer/data/sample_order.hpp"
#include "trainer/tasks/tokens/token_dataset.hpp"

namespace blocktrain::trainer {

class TokenWindows {
 public:
  /// Those of a split of documents joined or apart. Training windows have offsets, held-out ones none.
  TokenWindows(const TokenSplit& split, bool apart, std::int64_t length, Split which);

  std::int64_t count() const { return count_; }
  std::int64_t length() const { return length_; }
  bool apart() const { return apart_; }
  /// Stretches shorter than a window, and their tokens.
  std::int64_t short_stretches() const { return short_stretches_; }
  std::int64_t short_tokens() const { return short_tokens_; }

  /// The first token of a window without offset; index in [0, count()). Allocates nothing, as the next one.
  std::int64_t begin(std::int64_t index) const;
  /// The same in a pass of training.
  std::int64_t begin(std::int64_t index, std::uint64_t seed, std::uint64_t pass) const;

  /// Different tokens in the first `visits` windows of `order`, whose seed is that of the offsets.
  std::int64_t distinct_tokens(const SampleOrder& order, std::int64_t visits) const;

 private:
  struct Stretch {
    std::int64_t begin;    ///< its first token in the split
    std::int64_t before;   ///< windows of the stretches before it
    std::int64_t largest;  ///< offset
  };

  std::size_t stretch_of(std::int64_t index) const;
  std::int64_t offset(std::size_t stretch, std::uint64_t seed, std::uint64_t pass) const;
  std::int64_t windows_of(std::size_t stretch) const;
  std::int64_t distinct_in_passes_of_one_window(std::uint64_t seed, std::int64_t passes) const;

  std::int64_t length_;
  bool apart_;
  std::int64_t count_ = 0;
  std::int64_t short_stretches_ = 0, short_tokens_ = 0;
  std::vector<Stretch> stretches_;  ///< those with windows
};

}  // namespace blocktrain::trainer
