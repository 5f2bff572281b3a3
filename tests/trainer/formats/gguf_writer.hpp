#pragma once
/// A GGUF of a test, byte by byte, so that it can be wrong wherever a test wants.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/formats/gguf.hpp"

namespace blocktrain::trainer::test {

class GgufWriter {
 public:
  explicit GgufWriter(std::uint32_t version = 3) : version_(version) {}

  GgufWriter& number(const std::string& key, GgufKind kind, auto value) {
    begin(key, kind);
    put(value);
    return *this;
  }
  GgufWriter& text(const std::string& key, std::string_view value) {
    begin(key, GgufKind::text);
    put_text(value);
    return *this;
  }
  GgufWriter& texts(const std::string& key, const std::vector<std::string>& values) {
    begin_list(key, GgufKind::text, values.size());
    for (const std::string& value : values) put_text(value);
    return *this;
  }
  template <class T>
  GgufWriter& numbers(const std::string& key, GgufKind kind, const std::vector<T>& values) {
    begin_list(key, kind, values.size());
    for (const T value : values) put(value);
    return *this;
  }
  /// A list that says it has `count` values, and none follow.
  GgufWriter& begin_list(const std::string& key, GgufKind kind, std::uint64_t count) {
    begin(key, GgufKind::list);
    put(static_cast<std::uint32_t>(kind));
    put(count);
    return *this;
  }
  /// `shape` with the fastest dimension first, as in the file.
  GgufWriter& tensor(const std::string& name, const std::vector<std::uint64_t>& shape, std::uint32_t type,
                     std::uint64_t offset) {
    ++tensors_;
    const auto length = static_cast<std::uint64_t>(name.size());
    append(tensor_infos_, length);
    tensor_infos_ += name;
    append(tensor_infos_, static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t extent : shape) append(tensor_infos_, extent);
    append(tensor_infos_, type);
    append(tensor_infos_, offset);
    return *this;
  }
  GgufWriter& data(const std::string& bytes) {
    data_ = bytes;
    return *this;
  }

  std::string file(std::size_t alignment = 32) const {
    std::string out = "GGUF";
    append(out, version_);
    append(out, tensors_);
    append(out, entries_);
    out += metadata_ + tensor_infos_;
    if (!data_.empty()) out.append((alignment - out.size() % alignment) % alignment, '\0');
    return out + data_;
  }

 private:
  template <class T>
  static void append(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
  }
  void put(auto value) { append(metadata_, value); }
  void put_text(std::string_view value) {
    put(static_cast<std::uint64_t>(value.size()));
    metadata_ += value;
  }
  void begin(const std::string& key, GgufKind kind) {
    ++entries_;
    put_text(key);
    put(static_cast<std::uint32_t>(kind));
  }

  std::uint32_t version_;
  std::uint64_t tensors_ = 0, entries_ = 0;
  std::string metadata_, tensor_infos_, data_;
};

inline std::span<const std::byte> bytes_of(const std::string& file) { return std::as_bytes(std::span(file)); }

}  // namespace blocktrain::trainer::test
