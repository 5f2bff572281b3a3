#include "trainer/tasks/tokens/tokenizers/sentencepiece_check.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "kernels/error.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"

namespace blocktrain::trainer {
namespace {

using Bytes = std::span<const std::byte>;
using Fault = std::optional<std::string>;

constexpr std::size_t most_piece_bytes = 1 << 16;

/// A field of a protocol buffer.
struct Field {
  std::uint64_t number = 0;
  unsigned type = 0;
  Bytes bytes;  ///< of a text, a message or a number of fixed width; empty for others
};

enum FieldType : unsigned { varint = 0, eight_bytes = 1, counted = 2, four_bytes = 5 };

/// The fields of a message, one by one.
class Message {
 public:
  explicit Message(Bytes bytes) : rest_(bytes) {}

  /// False at the end, and where what follows is no field: damaged().
  bool next(Field& field) {
    if (rest_.empty() || damaged_) return false;
    const std::uint64_t key = number();
    field = {key >> 3, static_cast<unsigned>(key & 7), {}};
    switch (field.type) {
      case varint:
        number();
        break;
      case eight_bytes:
        field.bytes = take(8);
        break;
      case counted:
        field.bytes = take(number());
        break;
      case four_bytes:
        field.bytes = take(4);
        break;
      default:
        damaged_ = true;
    }
    return !damaged_;
  }

  bool damaged() const { return damaged_; }

 private:
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const Bytes byte = take(1);
      if (damaged_) return 0;
      const auto bits = std::to_integer<std::uint64_t>(byte[0]);
      value |= (bits & 0x7f) << shift;
      if (bits < 0x80) return value;
    }
    damaged_ = true;
    return 0;
  }

  Bytes take(std::uint64_t count) {
    if (damaged_ || count > rest_.size()) {
      damaged_ = true;
      return {};
    }
    const Bytes taken = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

  Bytes rest_;
  bool damaged_ = false;
};

std::uint32_t load(Bytes bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Fault fault_of_piece(Bytes piece, std::size_t at) {
  const std::string which = "piece " + std::to_string(at);
  Message message(piece);
  for (Field field; message.next(field);) {
    if (field.number == 1 && field.type == counted) {
      if (field.bytes.empty()) return which + " is empty";
      if (field.bytes.size() > most_piece_bytes) return which + " has more than 65536 bytes";
      const std::string_view text(reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size());
      if (text.find('\0') != std::string_view::npos) return which + " has a zero byte, which ends texts in the library";
      if (const auto fault = utf8_fault(text)) return which + ": " + *fault;
    }
    if (field.number == 2 && field.type == four_bytes && !std::isfinite(std::bit_cast<float>(load(field.bytes)))) {
      return which + " has a score that is not finite";
    }
  }
  if (message.damaged()) return which + " is damaged";
  return std::nullopt;
}

/// The table: uint32 bytes of a double array, the double array (uint32 units in blocks of 256), texts that end with a
/// zero. From unit i, when followed, the way leads to the units (i ^ offset) ^ byte, and to the value at i ^ offset.
Fault fault_of_table(Bytes table) {
  const std::string which = "the table of the normaliser ";
  constexpr std::size_t block = 256 * sizeof(std::uint32_t);
  if (table.size() < sizeof(std::uint32_t)) return which + "is cut short";
  const std::size_t bytes = load(table);
  table = table.subspan(sizeof(std::uint32_t));
  if (bytes == 0 || bytes % block != 0 || bytes >= table.size()) return which + "is damaged: its length is wrong";
  const std::size_t units = bytes / sizeof(std::uint32_t);
  const Bytes texts = table.subspan(bytes);
  if (texts.back() != std::byte{0}) return which + "is damaged: its last text does not end";
  const auto unit = [&](std::size_t i) { return load(table.subspan(i * sizeof(std::uint32_t))); };
  constexpr std::uint32_t value_bit = std::uint32_t{1} << 31;
  for (std::size_t i = 0; i < units; ++i) {
    const std::uint32_t u = unit(i);
    if (i != 0 && (u & value_bit) != 0) continue;  // a value: never followed
    const std::size_t next = i ^ (std::size_t{u >> 10} << ((u & (1U << 9)) >> 6));
    if ((next | 0xff) >= units) return which + "is damaged: unit " + std::to_string(i) + " leads outside it";
    const bool has_value = (u >> 8 & 1) != 0;
    if (has_value && (unit(next) & ~value_bit) >= texts.size()) {
      return which + "is damaged: unit " + std::to_string(i) + " names a text that is not there";
    }
  }
  return std::nullopt;
}

Fault fault_of_normalizer(Bytes normalizer) {
  Message message(normalizer);
  for (Field field; message.next(field);) {
    if (field.number != 2 || field.type != counted || field.bytes.empty()) continue;
    if (const Fault fault = fault_of_table(field.bytes)) return fault;
  }
  if (message.damaged()) return "the settings of its normaliser are damaged";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> sentencepiece_fault(std::span<const std::byte> model) {
  std::size_t pieces = 0;
  Message message(model);
  for (Field field; message.next(field);) {
    if (field.type != counted) continue;
    Fault fault;
    if (field.number == 1) fault = fault_of_piece(field.bytes, pieces++);
    if (field.number == 3 || field.number == 5) fault = fault_of_normalizer(field.bytes);
    if (fault) return fault;
  }
  if (message.damaged()) return "is not a SentencePiece model, or is damaged";
  if (pieces == 0) return "is not a SentencePiece model: it has no pieces";
  if (pieces > static_cast<std::size_t>(most_tokens)) return "has " + std::to_string(pieces) + " pieces";
  return std::nullopt;
}

}  // namespace blocktrain::trainer
