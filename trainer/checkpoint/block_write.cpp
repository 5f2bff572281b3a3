// Writes block files.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/block_layout.hpp"
#include "trainer/checkpoint/block_values.hpp"
#include "trainer/support/durable_file.hpp"

namespace blocktrain::trainer {
namespace {

/// What the rest of the program guarantees. The limits are those of HDF5 and of the format.
void require_writable(const BlockFileHeader& header, std::span<const blocks::Parameter> parameters) {
  BLOCKTRAIN_EXPECTS(header.blocks >= 1 && header.blocks <= max_blocks);
  BLOCKTRAIN_EXPECTS(header.block >= 0 && header.block < header.blocks);
  BLOCKTRAIN_EXPECTS(header.step >= 0 && header.step <= max_step);
  BLOCKTRAIN_EXPECTS(header.first_layer >= 0 && header.layers >= 1);
  BLOCKTRAIN_EXPECTS(is_experiment_identity(header.experiment));
  require_sound(parameters);
}

/// Copies [begin, end) of the layout's metadata to the file.
void write_metadata(DurableFile& file, const BlockLayout& layout, std::uint64_t begin, std::uint64_t end) {
  std::array<std::byte, 65536> buffer;
  while (begin < end) {
    const auto piece =
        std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), end - begin)));
    layout.metadata.read(begin, piece);
    file.write(piece);
    begin += piece.size();
  }
}

std::array<std::span<const float>, tables> by_table(const BlockTensors<const float>& tensors) {
  return {tensors.parameters, tensors.first_moment, tensors.second_moment, tensors.average};
}

}  // namespace

std::optional<std::string> find_unusable(std::span<const blocks::Parameter> parameters,
                                         const BlockTensors<const float>& tensors) {
  const auto flat = by_table(tensors);
  for (const Table table : {Table::parameters, Table::first_moment, Table::second_moment, Table::average}) {
    const std::span<const float> values = flat[static_cast<std::size_t>(table)];
    if (table == Table::average && values.empty()) continue;
    for (const blocks::Parameter& p : parameters) {
      const std::span<const float> own = slice(values, p);
      if (const auto bad = find_unusable(own, table)) {
        return fmt::format("{}/{} has {} at element {}", group_of(table), p.name, own[*bad], *bad);
      }
    }
  }
  return std::nullopt;
}

std::string block_file_name(int block, std::int64_t step) {
  return fmt::format("block-{:04d}.step-{:08d}.h5", block, step);
}

std::optional<std::pair<int, std::int64_t>> parse_block_file_name(const std::string& name) {
  constexpr std::string_view prefix = "block-", middle = ".step-";
  const std::size_t middle_at = name.find(middle);
  if (!name.starts_with(prefix) || middle_at == std::string::npos) return std::nullopt;
  int block = -1;
  std::int64_t step = -1;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), block);
  std::from_chars(name.data() + middle_at + middle.size(), name.data() + name.size(), step);
  if (block < 0 || block >= max_blocks || step < 0 || step > max_step || name != block_file_name(block, step))
    return std::nullopt;
  return std::pair(block, step);
}

WrittenFile write_block_file(const std::filesystem::path& path, const BlockFileHeader& header,
                             std::span<const blocks::Parameter> parameters, const BlockTensors<const float>& tensors) {
  require_writable(header, parameters);
  if (const auto unusable = find_unusable(parameters, tensors)) {
    throw RunError("refusing to write " + path.string() + ": " + *unusable + ". Older checkpoints are as they were");
  }
  const auto flat = by_table(tensors);
  BlockFileHeader written = header;
  written.average = !tensors.average.empty();
  const BlockLayout layout = lay_out_block_file(written, parameters);
  DurableFile file(path, layout.bytes);
  std::uint64_t at = 0;
  for (const DataSegment& segment : layout.segments) {
    write_metadata(file, layout, at, segment.offset);
    const std::span<const float> own =
        slice(flat[static_cast<std::size_t>(segment.table)], parameters[segment.parameter]);
    file.write(std::as_bytes(own));
    at = segment.offset + own.size_bytes();
  }
  write_metadata(file, layout, at, layout.bytes);
  return {.bytes = layout.bytes, .sha256 = file.commit()};
}

}  // namespace blocktrain::trainer
