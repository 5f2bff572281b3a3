#include "trainer/export/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <tuple>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr std::size_t alignment = 64;
constexpr std::size_t length_bytes = 8;
/// Headers longer than this are nobody's export.
constexpr std::uint64_t most_header_bytes = std::uint64_t{1} << 26;

const char* type_name(kernels::DType type) {
  switch (type) {
    case kernels::DType::float32:
      return "F32";
    case kernels::DType::float64:
      return "F64";
    case kernels::DType::int32:
      return "I32";
    case kernels::DType::bfloat16:
      return "BF16";
  }
  return "";
}

std::array<char, length_bytes> little_endian(std::uint64_t n) { return std::bit_cast<std::array<char, 8>>(n); }

}  // namespace

void write_safetensors(WholeFile& file, std::vector<NamedTensor> tensors, const Metadata& metadata) {
  // Negative, for larger types come first.
  const auto order = [](const NamedTensor& t) {
    return std::tuple(-static_cast<int>(kernels::size_of(t.tensor.dtype)), std::string_view(t.name));
  };
  std::sort(tensors.begin(), tensors.end(),
            [&](const NamedTensor& a, const NamedTensor& b) { return order(a) < order(b); });

  nlohmann::json header;  // keys in order
  header["__metadata__"] = metadata;
  std::size_t end = 0;
  for (const NamedTensor& t : tensors) {
    BLOCKTRAIN_EXPECTS(!header.contains(t.name) && !t.tensor.empty() && t.tensor.contiguous());
    const std::size_t begin = end;
    end += t.tensor.bytes();
    const std::vector<std::int64_t> shape(t.tensor.shape.begin(), t.tensor.shape.begin() + t.tensor.rank);
    header[t.name] = {{"dtype", type_name(t.tensor.dtype)}, {"shape", shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.append((alignment - (length_bytes + text.size()) % alignment) % alignment, ' ');

  const auto length = little_endian(text.size());
  file.write(std::string_view(length.data(), length.size()));
  file.write(text);
  for (const NamedTensor& t : tensors) {
    file.write(std::span(static_cast<const std::byte*>(t.tensor.data), t.tensor.bytes()));
  }
}

Metadata read_safetensors_metadata(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::array<char, length_bytes> length{};
  if (!in.read(length.data(), length.size())) return {};
  const auto size = std::bit_cast<std::uint64_t>(length);
  if (size > most_header_bytes) return {};
  std::string text(size, ' ');
  if (!in.read(text.data(), static_cast<std::streamsize>(size))) return {};
  const auto header = nlohmann::json::parse(text, nullptr, false);
  Metadata metadata;
  if (!header.is_object() || !header.contains("__metadata__") || !header["__metadata__"].is_object()) return metadata;
  for (const auto& [key, value] : header["__metadata__"].items()) {
    if (value.is_string()) metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace blocktrain::trainer
