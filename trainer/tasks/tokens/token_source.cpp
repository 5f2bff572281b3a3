#include "trainer/tasks/tokens/token_source.hpp"

#include <algorithm>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

/// A token of `Width` bytes. More than an int32 holds comes out negative.
template <int Width>
std::int32_t token_at(const std::uint8_t* bytes) {
  std::uint32_t value = bytes[0];
  if constexpr (Width >= 2) value |= std::uint32_t{bytes[1]} << 8;
  if constexpr (Width == 4) value |= std::uint32_t{bytes[2]} << 16 | std::uint32_t{bytes[3]} << 24;
  return static_cast<std::int32_t>(value);
}

/// What `act.template operator()<Width>()` returns, so that loops over tokens know the width.
template <class Act>
auto with_width(int width, const Act& act) {
  if (width == 1) return act.template operator()<1>();
  if (width == 2) return act.template operator()<2>();
  return act.template operator()<4>();
}

}  // namespace

TokenSource::TokenSource(MappedBytes memory, std::size_t first_byte, int width, std::string name)
    : memory_(std::move(memory)), first_byte_(first_byte), width_(width), name_(std::move(name)) {
  BLOCKTRAIN_EXPECTS(width == 1 || width == 2 || width == 4);
  BLOCKTRAIN_EXPECTS(first_byte <= memory_.size());
  tokens_ = static_cast<std::int64_t>((memory_.size() - first_byte) / static_cast<std::size_t>(width));
}

std::span<const std::uint8_t> TokenSource::bytes(std::int64_t begin, std::int64_t count) const {
  BLOCKTRAIN_EXPECTS(begin >= 0 && count >= 0 && begin <= tokens_ && count <= tokens_ - begin);
  const auto width = static_cast<std::size_t>(width_);
  return memory_.bytes().subspan(first_byte_ + static_cast<std::size_t>(begin) * width,
                                 static_cast<std::size_t>(count) * width);
}

void TokenSource::copy(std::int64_t begin, std::span<std::int32_t> out) const {
  const std::uint8_t* from = bytes(begin, static_cast<std::int64_t>(out.size())).data();
  with_width(width_, [&]<int Width>() {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = token_at<Width>(from + i * Width);
  });
}

void TokenSource::count(std::int64_t begin, std::int64_t count, std::vector<std::int64_t>& counts) const {
  const std::span<const std::uint8_t> from = bytes(begin, count);
  with_width(width_, [&]<int Width>() {
    for (std::size_t i = 0; i < from.size(); i += Width) {
      const auto id = static_cast<std::size_t>(token_at<Width>(from.data() + i));
      if (id < counts.size()) ++counts[id];  // of a file that is changed meanwhile anything may be read
    }
  });
}

std::int64_t TokenSource::find(std::int64_t begin, std::int32_t id) const {
  const std::span<const std::uint8_t> from = bytes(begin, tokens_ - begin);
  return with_width(width_, [&]<int Width>() {
    std::size_t i = 0;
    while (i < from.size() && token_at<Width>(from.data() + i) != id) i += Width;
    return begin + static_cast<std::int64_t>(i) / Width;
  });
}

std::int64_t TokenSource::first_beyond(std::int64_t vocabulary) const {
  const std::span<const std::uint8_t> from = bytes(0, tokens_);
  if (width_ < 4 && vocabulary >= std::int64_t{1} << 8 * width_) return tokens_;
  const auto limit = static_cast<std::uint32_t>(vocabulary);
  return with_width(width_, [&]<int Width>() {
    // A piece at a time without a branch per token, which compilers turn into vector code.
    constexpr std::size_t piece = std::size_t{4096} * Width;
    std::size_t begin = 0;
    for (; begin < from.size(); begin += piece) {
      const std::span<const std::uint8_t> now = from.subspan(begin, std::min(piece, from.size() - begin));
      std::uint32_t largest = 0;
      for (std::size_t i = 0; i < now.size(); i += Width) {
        largest = std::max(largest, static_cast<std::uint32_t>(token_at<Width>(now.data() + i)));
      }
      if (largest >= limit) break;
    }
    while (begin < from.size() && static_cast<std::uint32_t>(token_at<Width>(from.data() + begin)) < limit) {
      begin += Width;
    }
    return static_cast<std::int64_t>(std::min(begin, from.size())) / Width;
  });
}

std::span<std::uint8_t> TokenWriter::room_for(std::size_t bytes) {
  if (used_ + bytes > memory_.size()) {
    const std::size_t size = std::max({used_ + bytes, 2 * memory_.size(), std::size_t{1} << 16});
    if (memory_.size() == 0) {
      memory_ = MappedBytes::anonymous(size);
    } else {
      memory_.resize(size);
    }
  }
  const std::span<std::uint8_t> room = memory_.writable().subspan(used_, bytes);
  used_ += bytes;
  return room;
}

void TokenWriter::append(std::span<const std::int32_t> tokens) {
  if (tokens.empty()) return;
  const std::span<std::uint8_t> room = room_for(tokens.size() * static_cast<std::size_t>(width_));
  with_width(width_, [&]<int Width>() {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      for (int byte = 0; byte < Width; ++byte) {
        room[i * Width + static_cast<std::size_t>(byte)] =
            static_cast<std::uint8_t>(static_cast<std::uint32_t>(tokens[i]) >> (8 * byte));
      }
    }
  });
}

void TokenWriter::append(std::span<const std::uint8_t> tokens) {
  BLOCKTRAIN_EXPECTS(width_ == 1);
  if (!tokens.empty()) std::ranges::copy(tokens, room_for(tokens.size()).begin());
}

TokenSource TokenWriter::finish(std::string name) && {
  BLOCKTRAIN_EXPECTS(used_ > 0);
  memory_.resize(used_);
  memory_.seal();
  return {std::move(memory_), 0, width_, std::move(name)};
}

}  // namespace blocktrain::trainer
