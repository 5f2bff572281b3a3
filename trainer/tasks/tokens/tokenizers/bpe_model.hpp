#pragma once
/// Byte pair encoding of one piece of text: its bytes are tokens first, and neighbours are merged, at each turn the
/// pair that stands first in the list of merges, the leftmost of equal ones.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"

namespace blocktrain::trainer {

class BpeModel {
 public:
  /// Memory of encode(), used again by the next call; also the pieces of before, which come again in any text.
  class Scratch {
   public:
    Scratch();

   private:
    friend class BpeModel;
    struct Symbol {
      std::int32_t id;
      std::uint32_t previous, next;
    };
    /// A short piece and its ids, in the place that its hash names.
    struct Known {
      std::uint8_t bytes = 0, count = 0;
      std::array<char, 30> text;
      std::array<std::int32_t, 8> ids;
    };

    std::vector<Symbol> symbols_;
    std::vector<std::uint64_t> queue_;  ///< rank and place of pairs; the smallest in front
    std::vector<Known> known_;
  };

  /// Throws InputError where a merge names a token that is not there, or makes one.
  explicit BpeModel(const BpeParts& parts);

  std::int64_t vocabulary() const { return static_cast<std::int64_t>(ends_.size()); }

  /// Appends the ids of `piece`, of at most most_piece_bytes bytes (else InputError), in time n log n.
  void encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const;

  /// The bytes of a token; none where no token has that id. `id` lies in 0 to vocabulary() - 1.
  std::string_view bytes_of(std::int32_t id) const;

  static constexpr std::size_t most_piece_bytes = std::size_t{1} << 26;

 private:
  struct Merge {
    std::int32_t right = 0, made = 0;
    std::uint32_t rank = 0;
  };

  void keep_bytes(const BpeParts& parts);
  void keep_merges(const BpeParts& parts, const std::unordered_map<std::string_view, std::int32_t>& id_of);
  const Merge* find(std::int32_t left, std::int32_t right) const;
  void begin(std::string_view piece, std::vector<Scratch::Symbol>& symbols) const;
  void queue_pair(Scratch& scratch, std::uint32_t at) const;
  void merge(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const;

  std::string bytes_;                ///< of all tokens, one behind the other
  std::vector<std::uint32_t> ends_;  ///< of each token in bytes_
  std::array<std::int32_t, 256> byte_ids_;
  std::optional<std::int32_t> unknown_;
  bool fuse_unknown_;
  std::vector<std::uint32_t> first_merge_;                    ///< of each left token in merges_, and the end
  std::vector<Merge> merges_;                                 ///< by left token, then by right one
  std::unordered_map<std::string_view, std::int32_t> whole_;  ///< whole pieces that are tokens; views into bytes_
};

}  // namespace blocktrain::trainer
