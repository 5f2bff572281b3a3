#include "trainer/tasks/tokens/token_windows.hpp"

#include <algorithm>
#include <set>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::trainer {

TokenWindows::TokenWindows(const TokenSplit& split, bool apart, std::int64_t length, Split which)
    : length_(length), apart_(apart) {
  BLOCKTRAIN_EXPECTS(length >= 1);
  constexpr std::int64_t many_windows = 16;
  const auto add = [&](std::int64_t begin, std::int64_t tokens) {
    if (tokens < length) {
      ++short_stretches_;
      short_tokens_ += tokens;
      return;
    }
    const bool gives_one_up = which == Split::train && (!apart || tokens / length >= many_windows);
    const std::int64_t windows = std::max<std::int64_t>((tokens - (gives_one_up ? length - 1 : 0)) / length, 1);
    stretches_.push_back({begin, count_, which == Split::train ? tokens - windows * length : 0});
    count_ += windows;
  };
  if (apart) {
    for (std::size_t i = 0; i < split.pieces.size(); ++i) add(split.places[i], split.pieces[i].tokens);
  } else if (split.tokens() > 0) {
    add(0, split.tokens());
  }
}

std::size_t TokenWindows::stretch_of(std::int64_t index) const {
  BLOCKTRAIN_EXPECTS(index >= 0 && index < count_);
  const auto behind = std::ranges::upper_bound(stretches_, index, {}, &Stretch::before);
  return static_cast<std::size_t>(behind - stretches_.begin()) - 1;
}

std::int64_t TokenWindows::windows_of(std::size_t stretch) const {
  const std::int64_t behind = stretch + 1 < stretches_.size() ? stretches_[stretch + 1].before : count_;
  return behind - stretches_[stretch].before;
}

std::int64_t TokenWindows::offset(std::size_t stretch, std::uint64_t seed, std::uint64_t pass) const {
  const std::int64_t largest = stretches_[stretch].largest;
  if (largest == 0) return 0;
  const kernels::RandomKey key{seed, kernels::Purpose::windows, static_cast<std::uint32_t>(pass >> 32)};
  const auto words =
      kernels::random_words(key, static_cast<std::uint32_t>(pass), static_cast<std::uint32_t>(stretch), 0);
  const auto choices = static_cast<std::uint64_t>(std::min(length_, largest + 1));
  const auto offset = static_cast<std::int64_t>((std::uint64_t{words[0]} * choices) >> 32);
  return offset + length_ <= largest && words[1] >> 31 != 0 ? offset + length_ : offset;
}

std::int64_t TokenWindows::begin(std::int64_t index) const {
  const Stretch& s = stretches_[stretch_of(index)];
  return s.begin + (index - s.before) * length_;
}

std::int64_t TokenWindows::begin(std::int64_t index, std::uint64_t seed, std::uint64_t pass) const {
  const std::size_t stretch = stretch_of(index);
  const Stretch& s = stretches_[stretch];
  return s.begin + offset(stretch, seed, pass) + (index - s.before) * length_;
}

std::int64_t TokenWindows::distinct_in_passes_of_one_window(std::uint64_t seed, std::int64_t passes) const {
  std::set<std::int64_t> offsets;
  for (std::int64_t p = 0; p < passes && std::ssize(offsets) <= stretches_[0].largest; ++p) {
    offsets.insert(offset(0, seed, static_cast<std::uint64_t>(p)));
  }
  std::int64_t tokens = 0, behind = 0;  // of the tokens counted
  for (const std::int64_t o : offsets) {
    tokens += o + length_ - std::max(o, behind);
    behind = o + length_;
  }
  return tokens;
}

std::int64_t TokenWindows::distinct_tokens(const SampleOrder& order, std::int64_t visits) const {
  BLOCKTRAIN_EXPECTS(order.count() == count_ && visits >= 0);
  const std::int64_t passes = visits / count_, rest = visits % count_;
  if (passes == 0) return rest * length_;
  if (count_ == 1) return distinct_in_passes_of_one_window(order.seed(), passes);
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < stretches_.size(); ++i) {
    // The windows of whole passes cover one run of tokens, from the least offset to behind the largest: two windows are
    // longer than offsets can differ, and so is one where documents are apart.
    std::int64_t lo = offset(i, order.seed(), 0), hi = lo;
    for (std::int64_t p = 1; p < passes && hi - lo < stretches_[i].largest; ++p) {
      const std::int64_t o = offset(i, order.seed(), static_cast<std::uint64_t>(p));
      lo = std::min(lo, o);
      hi = std::max(hi, o);
    }
    const std::int64_t windows = windows_of(i), first = stretches_[i].before, end = hi + windows * length_;
    tokens += end - lo;
    if (rest == 0) continue;
    // In the pass that is not whole, the outer windows may have tokens outside of that run.
    const std::int64_t o = offset(i, order.seed(), static_cast<std::uint64_t>(passes));
    for (std::int64_t w = 0; w < windows; ++w) {
      const std::int64_t begin = o + w * length_;
      const std::int64_t more = std::max<std::int64_t>(std::min(begin + length_, lo) - begin, 0) +
                                std::max<std::int64_t>(begin + length_ - std::max(begin, end), 0);
      if (more > 0 && order.place(static_cast<std::uint64_t>(passes), first + w) < rest) tokens += more;
    }
  }
  return tokens;
}

}  // namespace blocktrain::trainer
