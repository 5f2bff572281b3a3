#pragma once
/// The GGUF format, versions 2 and 3, little-endian: what is in a file, by name.
///
/// "GGUF", uint32 version, uint64 number of tensors, uint64 number of entries of metadata; then the entries (text KEY,
/// uint32 type, value), then the tensors (text NAME, uint32 number of dimensions, uint64 for each of them with the
/// fastest first, uint32 type, uint64 offset), then zeros up to a multiple of the alignment (general.alignment, 32),
/// then the data that offsets count from. A text is uint64 bytes and UTF-8 without an end mark; a list is uint32 type
/// of its elements, uint64 number, elements.
///
/// Every length is checked against what the file has, before anything is taken for it. Numbers are not dequantised
/// here.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blocktrain::trainer {

enum class GgufKind : std::uint32_t {
  uint8 = 0,
  int8 = 1,
  uint16 = 2,
  int16 = 3,
  uint32 = 4,
  int32 = 5,
  float32 = 6,
  boolean = 7,
  text = 8,
  list = 9,
  uint64 = 10,
  int64 = 11,
  float64 = 12,
};

/// An entry of the metadata, as it lies in the file.
struct GgufValue {
  GgufKind kind = GgufKind::uint8;
  GgufKind element = GgufKind::uint8;  ///< of a list
  std::uint64_t count = 1;             ///< elements of a list
  std::span<const std::byte> bytes;    ///< the value; of a text and a list of texts with the lengths
};

struct GgufTensor {
  std::string_view name;
  std::vector<std::int64_t> shape;  ///< the slowest dimension first, as elsewhere in this program
  std::uint32_t type = 0;           ///< see gguf_types.hpp
  std::uint64_t offset = 0;         ///< in the file
  std::uint64_t bytes = 0;          ///< 0 where the type is not known
};

/// A view of a file in memory, which has to outlive it.
class GgufFile {
 public:
  /// `name` begins error messages ("GGUF FILE"). Throws InputError for what is no GGUF, damaged, or beyond what any
  /// file has (more than 65,536 entries or tensors, four dimensions).
  GgufFile(std::span<const std::byte> file, std::string name);

  std::uint32_t version() const { return version_; }
  const std::map<std::string_view, GgufValue>& metadata() const { return metadata_; }
  /// In the order of the file.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name.
  const GgufTensor* tensor(std::string_view name) const;
  /// The stored numbers of a tensor of known type.
  std::span<const std::byte> data(const GgufTensor& tensor) const;

  /// The value of a key; none where it is absent. Throws InputError where it is of another kind, or does not fit.
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<double>> reals(std::string_view key) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void wrong_kind(std::string_view key, const GgufValue& value, const char* accepted) const;
  const GgufValue* find(std::string_view key) const;
  const GgufValue* list(std::string_view key, const char* accepted) const;
  void place_tensors(std::size_t header_bytes);

  friend class GgufParser;

  std::span<const std::byte> file_;
  std::string name_;
  std::uint32_t version_ = 0;
  std::map<std::string_view, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string_view, std::size_t> tensor_of_;
};

}  // namespace blocktrain::trainer
