#include "trainer/checkpoint/hdf5_structure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::uint64_t undefined_address = UINT64_MAX;
constexpr std::size_t superblock_bytes = 48;
constexpr std::size_t checksum_bytes = 4;
/// Headers of one object, all its chunks: room for ten thousands of links, and an end to chunks that form a ring.
constexpr std::uint64_t largest_header = std::uint64_t{16} << 20;

/// Kinds of header messages.
enum Message : unsigned {
  nil = 0x00,
  dataspace = 0x01,
  link_info = 0x02,
  datatype = 0x03,
  old_fill_value = 0x04,
  fill_value = 0x05,
  link = 0x06,
  external_files = 0x07,
  layout = 0x08,
  group_info = 0x0a,
  filters = 0x0b,
  attribute = 0x0c,
  continuation = 0x10,
  modification_time = 0x12,
  attribute_info = 0x15,
  reference_count = 0x16,
};

std::uint32_t little_endian(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

std::uint32_t metadata_checksum(std::span<const std::byte> data) {
  std::uint32_t a = 0xdeadbeefu + static_cast<std::uint32_t>(data.size()), b = a, c = a;
  if (data.empty()) return c;
  const auto add = [&](std::span<const std::byte> bytes) {
    const auto word = [&](std::size_t i) {
      return i >= bytes.size() ? 0u : little_endian(bytes.subspan(i, std::min<std::size_t>(4, bytes.size() - i)));
    };
    a += word(0);
    b += word(4);
    c += word(8);
  };
  while (data.size() > 12) {
    add(data.first(12));
    data = data.subspan(12);
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  add(data);
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

namespace {

bool has_right_checksum(std::span<const std::byte> data) {
  const std::size_t size = data.size() - checksum_bytes;
  return metadata_checksum(data.first(size)) == little_endian(data.subspan(size));
}

}  // namespace

/// Reads fields one after the other and never past the end.
class Hdf5Structure::Cursor {
 public:
  Cursor(const Hdf5Structure& file, std::span<const std::byte> data) : file_(file), rest_(data) {}

  std::size_t left() const { return rest_.size(); }
  std::span<const std::byte> bytes(std::uint64_t count) {
    if (count > rest_.size()) file_.refuse("an object header of its ends in the middle of a field");
    const auto taken = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(static_cast<std::size_t>(count));
    return taken;
  }
  Cursor part(std::uint64_t count) { return {file_, bytes(count)}; }
  void skip(std::uint64_t count) { bytes(count); }
  /// A little-endian number of 1 to 8 bytes.
  std::uint64_t number(std::size_t width) {
    const auto field = bytes(width);
    const std::uint64_t low = little_endian(field.first(std::min<std::size_t>(width, 4)));
    return width <= 4 ? low : low | std::uint64_t{little_endian(field.subspan(4))} << 32;
  }
  std::string text(std::uint64_t count) {
    const auto field = bytes(count);
    return {reinterpret_cast<const char*>(field.data()), field.size()};
  }

 private:
  const Hdf5Structure& file_;
  std::span<const std::byte> rest_;
};

namespace {

/// Whether a datatype message is `wanted`, whose first byte has the class alone: the other half is the encoding's
/// version.
bool is_type(std::span<const std::byte> message, std::initializer_list<unsigned> wanted) {
  if (message.size() != wanted.size()) return false;
  std::size_t i = 0;
  for (const unsigned byte : wanted) {
    const auto found = std::to_integer<unsigned>(message[i]);
    if ((i == 0 ? found & 15u : found) != byte) return false;
    ++i;
  }
  return true;
}

/// Type of a datatype message, with the bytes of one element.
std::pair<StoredType, std::uint64_t> stored_type(std::span<const std::byte> message) {
  if (is_type(message, {0, 0x08, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0})) return {StoredType::int64, 8};
  if (is_type(message, {0, 0x00, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0})) return {StoredType::uint64, 8};
  if (is_type(message, {1, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0}))
    return {StoredType::float32, 4};
  constexpr unsigned string_class = 3;
  if (message.size() == 8 && (std::to_integer<unsigned>(message[0]) & 15u) == string_class) {
    return {StoredType::string, little_endian(message.subspan(4))};
  }
  return {StoredType::other, 0};
}

struct Dataspace {
  bool scalar = false;
  std::vector<std::uint64_t> shape;
};

template <class Cursor>
Dataspace read_dataspace(const Hdf5Structure& file, Cursor message) {
  if (message.number(1) != 2) file.refuse("a dataspace of its is of an unknown version");
  const std::uint64_t rank = message.number(1);
  message.skip(1);
  const std::uint64_t kind = message.number(1);
  Dataspace space{.scalar = kind == 0 && rank == 0, .shape = {}};
  if (kind > 1 || (kind == 0 && rank != 0) || (kind == 1 && rank == 0)) file.refuse("a dataspace of its has no shape");
  for (std::uint64_t i = 0; i < rank; ++i) space.shape.push_back(message.number(8));
  return space;
}

}  // namespace

Hdf5Structure::Hdf5Structure(const std::filesystem::path& path, std::string advice)
    : path_(path.string()), advice_(std::move(advice)) {
  std::optional<RegularFile> file = open_regular_file(path);
  if (!file) throw RunError(path_ + ": there is no such file");
  file_ = std::move(*file);
  if (file_.bytes < superblock_bytes) refuse(fmt::format("has {} bytes, too few for a checkpoint", file_.bytes));
  std::array<std::byte, superblock_bytes> block{};
  read(0, block);
  Cursor fields(*this, block);
  if (fields.text(8) != "\x89HDF\r\n\x1a\n") refuse("is not an HDF5 file, which a checkpoint is");
  const std::uint64_t version = fields.number(1), offsets = fields.number(1), lengths = fields.number(1);
  if ((version != 2 && version != 3) || offsets != 8 || lengths != 8) {
    refuse(fmt::format("is an HDF5 file of a kind that blocktrain does not write (superblock version {})", version));
  }
  fields.skip(1);
  const std::uint64_t base = fields.number(8);
  fields.skip(8);  // extension of the superblock: nothing that block files need
  const std::uint64_t end = fields.number(8);
  if (end != file_.bytes)
    refuse(fmt::format("has {} bytes and says that it has {}: it was cut or changed", file_.bytes, end));
  if (base != 0 || !has_right_checksum(block)) refuse("has a damaged superblock");
  root_ = fields.number(8);
}

void Hdf5Structure::refuse(const std::string& what, const std::string& advice) const {
  throw InputError(path_ + ": " + what + ". " + advice);
}

void Hdf5Structure::read(std::uint64_t offset, std::span<std::byte> data) const {
  if (const int error = read_exactly(file_.descriptor.get(), offset, data); error != 0) {
    throw RunError("cannot read " + path_ + ": " + error_text(error));
  }
}

std::vector<std::byte> Hdf5Structure::read_checked(Piece piece) const {
  if (piece.bytes <= checksum_bytes || piece.bytes > largest_header || piece.bytes > file_.bytes ||
      piece.offset > file_.bytes - piece.bytes) {
    refuse("an object header of its lies outside the file");
  }
  std::vector<std::byte> data(static_cast<std::size_t>(piece.bytes));
  read(piece.offset, data);
  if (!has_right_checksum(data)) refuse("an object header of its has a wrong checksum: the file is damaged");
  return data;
}

StoredObject Hdf5Structure::object(std::uint64_t address) const {
  constexpr std::size_t longest_prefix = 34;
  if (address >= file_.bytes) refuse("an object header of its lies outside the file");
  std::array<std::byte, longest_prefix> start{};
  const auto available = static_cast<std::size_t>(std::min<std::uint64_t>(start.size(), file_.bytes - address));
  read(address, std::span(start).first(available));
  Cursor prefix(*this, std::span(start).first(available));
  if (prefix.text(4) != "OHDR" || prefix.number(1) != 2) refuse("an object of its has a header of an unknown kind");
  const std::uint64_t flags = prefix.number(1);
  if ((flags & 0x20) != 0) prefix.skip(16);  // times
  if ((flags & 0x10) != 0) prefix.skip(4);   // limits of attributes
  const std::uint64_t first_chunk = prefix.number(std::size_t{1} << (flags & 3));
  const std::size_t prefix_bytes = available - prefix.left();
  if (first_chunk > largest_header) refuse("an object header of its is too large");

  StoredObject object;
  StoredDataset dataset;
  unsigned seen = 0;
  std::vector<Piece> more;
  const bool creation_order = (flags & 0x04) != 0;
  const std::vector<std::byte> first =
      read_checked({.offset = address, .bytes = prefix_bytes + first_chunk + checksum_bytes});
  read_messages({*this, std::span(first).subspan(prefix_bytes, static_cast<std::size_t>(first_chunk))}, creation_order,
                object, more, dataset, seen);
  std::uint64_t total = first.size();
  for (std::size_t i = 0; i < more.size(); ++i) {
    const std::vector<std::byte> chunk = read_checked(more[i]);
    total += chunk.size();
    Cursor messages(*this, std::span(chunk).first(chunk.size() - checksum_bytes));
    if (total > largest_header || messages.text(4) != "OCHK") refuse("an object header of its is continued wrongly");
    read_messages(messages, creation_order, object, more, dataset, seen);
  }

  const auto has = [&](Message kind) { return (seen >> kind & 1u) != 0; };
  if (has(layout) || has(dataspace) || has(datatype)) {
    if (!has(layout) || !has(dataspace) || !has(datatype) || !object.links.empty())
      refuse("an object of its is neither group nor dataset");
    std::uint64_t bytes = sizeof(float);
    for (const std::uint64_t d : dataset.shape) {
      if (__builtin_mul_overflow(bytes, d, &bytes)) dataset.plain = false;
    }
    dataset.plain = dataset.plain && !has(external_files) && !has(filters) && dataset.offset <= file_.bytes &&
                    bytes <= file_.bytes - dataset.offset;
    object.dataset = std::move(dataset);
  } else if (!has(link_info)) {
    refuse("an object of its is neither group nor dataset");
  }
  return object;
}

void Hdf5Structure::read_messages(Cursor messages, bool creation_order, StoredObject& object, std::vector<Piece>& more,
                                  StoredDataset& dataset, unsigned& seen) const {
  const std::size_t message_head = creation_order ? 6 : 4;
  while (messages.left() >= message_head) {  // what is left below that is a gap
    const std::uint64_t kind = messages.number(1), size = messages.number(2), flags = messages.number(1);
    if (creation_order) messages.skip(2);
    Cursor message = messages.part(size);
    if (kind == nil) continue;
    constexpr std::uint64_t shared = 0x02;
    if ((flags & shared) != 0 || kind > reference_count)
      refuse(fmt::format("an object of its has a message of kind {}", kind));
    if (kind != link && kind != attribute && kind != continuation && (seen >> kind & 1u) != 0) {
      refuse(fmt::format("an object of its has two messages of kind {}", kind));
    }
    seen |= 1u << kind;
    switch (kind) {
      case dataspace:
        dataset.shape = read_dataspace(*this, message).shape;
        break;
      case datatype:
        dataset.type = stored_type(message.bytes(message.left())).first;
        break;
      case layout: {
        const std::uint64_t version = message.number(1);
        constexpr std::uint64_t contiguous = 1;
        if ((version != 3 && version != 4) || message.number(1) != contiguous) break;  // not plain
        dataset.offset = message.number(8);
        dataset.plain = dataset.offset != undefined_address;
        break;
      }
      case link:
        read_link(message, object);
        break;
      case attribute:
        read_attribute(message, object);
        break;
      case link_info:
      case attribute_info: {
        // Past some number, links and attributes would live in a heap with an index; block files have neither.
        message.skip(1);
        const std::uint64_t tracked = message.number(1) & 1u;
        if (tracked != 0) message.skip(kind == link_info ? 8 : 2);
        if (message.number(8) != undefined_address || message.number(8) != undefined_address) {
          refuse("an object of its keeps names in a heap");
        }
        break;
      }
      case continuation: {
        const std::uint64_t offset = message.number(8);
        more.push_back({.offset = offset, .bytes = message.number(8)});
        break;
      }
      case external_files:  // that they are there is enough to know
      case filters:
      case old_fill_value:
      case fill_value:
      case group_info:
      case modification_time:
      case reference_count:
        break;
      default:
        refuse(fmt::format("an object of its has a message of kind {}", kind));
    }
  }
}

void Hdf5Structure::read_link(Cursor message, StoredObject& object) const {
  if (message.number(1) != 1) refuse("a link of its is of an unknown version");
  const std::uint64_t flags = message.number(1);
  const std::uint64_t kind = (flags & 0x08) != 0 ? message.number(1) : 0;
  if ((flags & 0x04) != 0) message.skip(8);  // creation order
  if ((flags & 0x10) != 0) message.skip(1);  // character set
  const std::string name = message.text(message.number(std::size_t{1} << (flags & 3)));
  StoredLink stored{.kind = LinkKind::elsewhere, .address = undefined_address};
  if (kind == 0) stored = {.kind = LinkKind::hard, .address = message.number(8)};
  if (!object.links.emplace(name, stored).second) refuse("names \"" + printable(name) + "\" twice");
}

void Hdf5Structure::read_attribute(Cursor message, StoredObject& object) const {
  if (message.number(1) != 3) refuse("an attribute of its is of an unknown version");
  if (message.number(1) != 0) refuse("an attribute of its has a shared type");
  const std::uint64_t name_bytes = message.number(2), type_bytes = message.number(2), space_bytes = message.number(2);
  message.skip(1);  // character set
  std::string name = message.text(name_bytes);
  name.resize(std::min(name.size(), name.find('\0')));
  const auto [type, size] = stored_type(message.bytes(type_bytes));
  StoredAttribute stored{.type = type, .scalar = read_dataspace(*this, message.part(space_bytes)).scalar, .value = {}};
  // A type that is none of ours has a size that is none of our business.
  if (stored.scalar && type != StoredType::other) {
    const auto value = message.bytes(size);
    stored.value.assign(value.begin(), value.end());
  }
  if (!object.attributes.emplace(name, std::move(stored)).second)
    refuse("has the attribute \"" + printable(name) + "\" twice");
}

}  // namespace blocktrain::trainer
