#include "trainer/formats/gguf.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/formats/gguf_types.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in memory");

constexpr std::uint64_t most_entries = 1 << 16;
constexpr std::uint32_t most_dimensions = 4;
constexpr std::uint64_t most_elements = std::uint64_t{1} << 48;
constexpr std::int64_t default_alignment = 32;
constexpr std::int64_t most_alignment = 1 << 20;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// The bytes of one value of a kind; 0 for texts and lists, which say how long they are.
std::size_t size_of(GgufKind kind) {
  switch (kind) {
    case GgufKind::uint8:
    case GgufKind::int8:
    case GgufKind::boolean:
      return 1;
    case GgufKind::uint16:
    case GgufKind::int16:
      return 2;
    case GgufKind::uint32:
    case GgufKind::int32:
    case GgufKind::float32:
      return 4;
    case GgufKind::uint64:
    case GgufKind::int64:
    case GgufKind::float64:
      return 8;
    case GgufKind::text:
    case GgufKind::list:
      return 0;
  }
  return 0;
}

const char* name_of(GgufKind kind) {
  constexpr const char* names[] = {"uint8",   "int8", "uint16", "int16",  "uint32", "int32",  "float32",
                                   "boolean", "text", "list",   "uint64", "int64",  "float64"};
  return names[static_cast<std::size_t>(kind)];
}

bool is_integer(GgufKind kind) {
  return size_of(kind) != 0 && kind != GgufKind::float32 && kind != GgufKind::float64 && kind != GgufKind::boolean;
}

/// uint64 beyond int64 comes out negative.
std::int64_t load_integer(GgufKind kind, const std::byte* at) {
  switch (kind) {
    case GgufKind::uint8:
      return load<std::uint8_t>(at);
    case GgufKind::int8:
      return load<std::int8_t>(at);
    case GgufKind::uint16:
      return load<std::uint16_t>(at);
    case GgufKind::int16:
      return load<std::int16_t>(at);
    case GgufKind::uint32:
      return load<std::uint32_t>(at);
    case GgufKind::int32:
      return load<std::int32_t>(at);
    default:
      return load<std::int64_t>(at);
  }
}

double load_real(GgufKind kind, const std::byte* at) {
  return kind == GgufKind::float32 ? double{load<float>(at)} : load<double>(at);
}

std::string shown(std::string_view text) { return "'" + printable(text) + "'"; }

}  // namespace

/// Goes through the head of a file once.
class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), all_(file.file_) {}

  /// Returns where the data would begin if they were not aligned.
  std::size_t run() {
    if (all_.size() < 4 || std::memcmp(all_.data(), "GGUF", 4) != 0) file_.fail("does not begin with GGUF");
    at_ = 4;
    file_.version_ = read<std::uint32_t>("the version");
    if (file_.version_ != 2 && file_.version_ != 3) {
      const bool swapped = file_.version_ == 2U << 24 || file_.version_ == 3U << 24;
      file_.fail(swapped ? std::string("is big-endian; accepted: little-endian")
                         : fmt::format("has version {}; accepted: 2 and 3", file_.version_));
    }
    const std::uint64_t tensors = read_count("tensors");
    const std::uint64_t entries = read_count("entries of metadata");
    for (std::uint64_t i = 0; i < entries; ++i) read_entry(i);
    for (std::uint64_t i = 0; i < tensors; ++i) read_tensor(i);
    return at_;
  }

 private:
  std::size_t left() const { return all_.size() - at_; }

  void need(std::uint64_t bytes, const std::string& what) {
    if (bytes > left()) {
      file_.fail(
          fmt::format("{} would need {} bytes at byte {}, and the file has {} there; it is cut short or damaged: "
                      "fetch or copy it again",
                      what, bytes, at_, left()));
    }
  }

  template <class T>
  T read(const std::string& what) {
    need(sizeof(T), what);
    const T value = load<T>(all_.data() + at_);
    at_ += sizeof(T);
    return value;
  }

  std::uint64_t read_count(const std::string& what) {
    const auto count = read<std::uint64_t>("the number of " + what);
    if (count > most_entries) file_.fail(fmt::format("has {} {}; accepted: at most {}", count, what, most_entries));
    return count;
  }

  std::string_view read_text(const std::string& what) {
    const auto length = read<std::uint64_t>(what);
    need(length, what);
    const std::string_view text(reinterpret_cast<const char*>(all_.data() + at_), static_cast<std::size_t>(length));
    at_ += static_cast<std::size_t>(length);
    return text;
  }

  GgufKind read_kind(const std::string& what) {
    const auto kind = read<std::uint32_t>(what);
    if (kind > static_cast<std::uint32_t>(GgufKind::float64)) {
      file_.fail(fmt::format("{} has type {}; accepted: 0 to 12", what, kind));
    }
    return static_cast<GgufKind>(kind);
  }

  void skip(GgufKind kind, std::uint64_t count, const std::string& what) {
    if (kind == GgufKind::text) {
      need_each(count, sizeof(std::uint64_t), what);
      for (std::uint64_t i = 0; i < count; ++i) read_text(what);
      return;
    }
    need_each(count, size_of(kind), what);
    at_ += static_cast<std::size_t>(count) * size_of(kind);
  }

  /// As need(), for `count` things of at least `bytes` each, whose product may not fit.
  void need_each(std::uint64_t count, std::size_t bytes, const std::string& what) {
    if (count > left() / bytes) need(count > most_elements ? count : count * bytes, what);
  }

  void read_entry(std::uint64_t i) {
    const std::string_view key = read_text(fmt::format("key {} of the metadata", i));
    const std::string what = "the value of " + shown(key);
    GgufValue value;
    value.kind = read_kind(what);
    if (value.kind == GgufKind::list) {
      value.element = read_kind(what);
      if (value.element == GgufKind::list)
        file_.fail(what + " is a list of lists; accepted: lists of numbers or texts");
      value.count = read<std::uint64_t>(what);
    }
    const std::size_t begin = at_;
    skip(value.kind == GgufKind::list ? value.element : value.kind, value.count, what);
    value.bytes = all_.subspan(begin, at_ - begin);
    if (!file_.metadata_.emplace(key, value).second) file_.fail("has the key " + shown(key) + " twice");
  }

  void read_tensor(std::uint64_t i) {
    GgufTensor tensor;
    tensor.name = read_text(fmt::format("the name of tensor {}", i));
    const std::string what = "tensor " + shown(tensor.name);
    const auto dimensions = read<std::uint32_t>(what);
    if (dimensions > most_dimensions) {
      file_.fail(fmt::format("{} has {} dimensions; accepted: at most {}", what, dimensions, most_dimensions));
    }
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto extent = read<std::uint64_t>(what);
      if (extent == 0 || extent > most_elements / elements) {
        file_.fail(fmt::format("{} has {} in dimension {}; accepted: at least 1, at most 2^48 elements in all", what,
                               extent, d));
      }
      elements *= extent;
      tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(extent));
    }
    tensor.type = read<std::uint32_t>(what);
    tensor.offset = read<std::uint64_t>(what);
    if (const GgufTensorType* const type = gguf_tensor_type(tensor.type)) {
      const std::uint64_t row = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.back());
      if (row % type->block_elements != 0) {
        file_.fail(fmt::format("{} is {} in blocks of {} numbers, and its rows have {}", what, type->name,
                               type->block_elements, row));
      }
      tensor.bytes = elements / type->block_elements * type->block_bytes;
    }
    if (!file_.tensor_of_.emplace(tensor.name, file_.tensors_.size()).second) file_.fail("has " + what + " twice");
    file_.tensors_.push_back(std::move(tensor));
  }

  GgufFile& file_;
  std::span<const std::byte> all_;
  std::size_t at_ = 0;
};

GgufFile::GgufFile(std::span<const std::byte> file, std::string name) : file_(file), name_(std::move(name)) {
  place_tensors(GgufParser(*this).run());
}

void GgufFile::place_tensors(std::size_t header_bytes) {
  const std::int64_t alignment = integer("general.alignment").value_or(default_alignment);
  if (alignment < 1 || alignment > most_alignment || !std::has_single_bit(static_cast<std::uint64_t>(alignment))) {
    fail(fmt::format("general.alignment: found {}; accepted: a power of two, at most {}", alignment, most_alignment));
  }
  if (tensors_.empty()) return;
  const auto unit = static_cast<std::uint64_t>(alignment);
  const std::uint64_t begin = (header_bytes + unit - 1) / unit * unit;
  const std::uint64_t room = begin > file_.size() ? 0 : file_.size() - begin;
  for (GgufTensor& tensor : tensors_) {
    if (tensor.offset % unit != 0) {
      fail(fmt::format("tensor {} begins at {}, which is no multiple of {}", shown(tensor.name), tensor.offset, unit));
    }
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      fail(fmt::format(
          "tensor {} would end at byte {} of the data, which have {}; it is cut short or damaged: fetch or "
          "copy it again",
          shown(tensor.name), static_cast<double>(tensor.offset) + static_cast<double>(tensor.bytes), room));
    }
    tensor.offset += begin;
  }
}

void GgufFile::fail(const std::string& what) const { throw InputError(name_ + ": " + what); }

void GgufFile::wrong_kind(std::string_view key, const GgufValue& value, const char* accepted) const {
  const std::string found = value.kind == GgufKind::list ? std::string("a list of ") + name_of(value.element) + "s"
                                                         : std::string("one of type ") + name_of(value.kind);
  fail(std::string(key) + ": found " + found + "; accepted: " + accepted);
}

const GgufTensor* GgufFile::tensor(std::string_view name) const {
  const auto found = tensor_of_.find(name);
  return found == tensor_of_.end() ? nullptr : &tensors_[found->second];
}

std::span<const std::byte> GgufFile::data(const GgufTensor& tensor) const {
  BLOCKTRAIN_EXPECTS(gguf_tensor_type(tensor.type) != nullptr);
  return file_.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.bytes));
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufValue* GgufFile::list(std::string_view key, const char* accepted) const {
  const GgufValue* const value = find(key);
  if (value != nullptr && value->kind != GgufKind::list) wrong_kind(key, *value, accepted);
  return value;
}

std::optional<std::string_view> GgufFile::text(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->kind != GgufKind::text) wrong_kind(key, *value, "a text");
  return std::string_view(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size())
      .substr(sizeof(std::uint64_t));
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->kind)) wrong_kind(key, *value, "a whole number");
  const std::int64_t number = load_integer(value->kind, value->bytes.data());
  if (value->kind == GgufKind::uint64 && number < 0) fail(std::string(key) + ": found a number of 2^63 or more");
  return number;
}

std::optional<double> GgufFile::real(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->kind != GgufKind::float32 && value->kind != GgufKind::float64) wrong_kind(key, *value, "a float");
  const double number = load_real(value->kind, value->bytes.data());
  if (!std::isfinite(number)) fail(std::string(key) + ": found a number that is not finite");
  return number;
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->kind != GgufKind::boolean) wrong_kind(key, *value, "true or false");
  return load<std::uint8_t>(value->bytes.data()) != 0;
}

std::optional<std::vector<std::string_view>> GgufFile::texts(std::string_view key) const {
  constexpr const char* accepted = "a list of texts";
  const GgufValue* const value = list(key, accepted);
  if (value == nullptr) return std::nullopt;
  if (value->element != GgufKind::text) wrong_kind(key, *value, accepted);
  std::vector<std::string_view> texts;
  texts.reserve(static_cast<std::size_t>(value->count));
  // Lengths were checked; but a mapped file may be another by now.
  std::span<const std::byte> rest = value->bytes;
  for (std::uint64_t i = 0; i < value->count; ++i) {
    const auto length = rest.size() < sizeof(std::uint64_t) ? ~std::uint64_t{0} : load<std::uint64_t>(rest.data());
    if (rest.size() < sizeof length || length > rest.size() - sizeof length) fail("was changed while it was read");
    rest = rest.subspan(sizeof length);
    texts.emplace_back(reinterpret_cast<const char*>(rest.data()), static_cast<std::size_t>(length));
    rest = rest.subspan(static_cast<std::size_t>(length));
  }
  return texts;
}

std::optional<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  constexpr const char* accepted = "a list of whole numbers";
  const GgufValue* const value = list(key, accepted);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->element)) wrong_kind(key, *value, accepted);
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(value->count));
  const std::size_t step = size_of(value->element);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = load_integer(value->element, value->bytes.data() + i * step);
    if (value->element == GgufKind::uint64 && numbers[i] < 0) {
      fail(fmt::format("{}: found a number of 2^63 or more at place {}", key, i));
    }
  }
  return numbers;
}

std::optional<std::vector<double>> GgufFile::reals(std::string_view key) const {
  constexpr const char* accepted = "a list of floats";
  const GgufValue* const value = list(key, accepted);
  if (value == nullptr) return std::nullopt;
  if (value->element != GgufKind::float32 && value->element != GgufKind::float64) wrong_kind(key, *value, accepted);
  std::vector<double> numbers(static_cast<std::size_t>(value->count));
  const std::size_t step = size_of(value->element);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = load_real(value->element, value->bytes.data() + i * step);
    if (!std::isfinite(numbers[i])) fail(fmt::format("{}: found a number that is not finite at place {}", key, i));
  }
  return numbers;
}

}  // namespace blocktrain::trainer
