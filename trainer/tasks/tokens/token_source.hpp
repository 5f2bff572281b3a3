#pragma once
/// Token ids in memory, as few bytes each as their vocabulary allows: a mapped file, or memory of our own that a text
/// was tokenized into.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/data/mapped_bytes.hpp"

namespace blocktrain::trainer {

class TokenSource {
 public:
  /// Tokens of `width` bytes (1, 2 or 4), the low byte first, from byte `first_byte` of `memory` to its end. Tokens
  /// that the end cuts short are left out.
  TokenSource(MappedBytes memory, std::size_t first_byte, int width, std::string name);

  std::int64_t tokens() const { return tokens_; }
  const std::string& name() const { return name_; }
  const MappedBytes& memory() const { return memory_; }

  /// The bytes of tokens [begin, begin + count).
  std::span<const std::uint8_t> bytes(std::int64_t begin, std::int64_t count) const;
  /// out = the out.size() tokens from `begin` on. Allocates nothing.
  void copy(std::int64_t begin, std::span<std::int32_t> out) const;
  /// Adds to counts[id] for each of tokens [begin, begin + count); precondition: all of them are below counts.size().
  void count(std::int64_t begin, std::int64_t count, std::vector<std::int64_t>& counts) const;
  /// The first token from `begin` on that is `id`, or tokens().
  std::int64_t find(std::int64_t begin, std::int32_t id) const;
  /// The first token that is not in [0, vocabulary), or tokens().
  std::int64_t first_beyond(std::int64_t vocabulary) const;

 private:
  MappedBytes memory_;
  std::size_t first_byte_;
  int width_;
  std::int64_t tokens_;
  std::string name_;
};

/// Bytes that a token below `vocabulary` takes: 1, 2 or 4.
constexpr int token_width(std::int64_t vocabulary) { return vocabulary <= 256 ? 1 : vocabulary <= 65536 ? 2 : 4; }

/// Own memory that grows as tokens are put into it.
class TokenWriter {
 public:
  explicit TokenWriter(int width) : width_(width) {}

  std::int64_t tokens() const { return static_cast<std::int64_t>(used_) / width_; }
  void append(std::span<const std::int32_t> tokens);
  /// The same for tokens of one byte. Precondition: the width is 1.
  void append(std::span<const std::uint8_t> tokens);
  /// What was put in, read-only; at least one token was.
  TokenSource finish(std::string name) &&;

 private:
  std::span<std::uint8_t> room_for(std::size_t bytes);

  int width_;
  MappedBytes memory_;
  std::size_t used_ = 0;
};

}  // namespace blocktrain::trainer
