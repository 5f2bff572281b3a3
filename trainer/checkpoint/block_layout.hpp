#pragma once
/// Where everything of a block file stands, before a single weight is written: HDF5 lays the file out in memory, with
/// holes where the numbers go. The trainer then writes metadata and numbers in one pass of its own, so a full disk
/// never meets HDF5, which does not recover from one.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/sparse_memory.hpp"

namespace blocktrain::trainer {

/// The four flat vectors of a block's state.
enum class Table : std::uint8_t { parameters, first_moment, second_moment, average };
inline constexpr std::size_t tables = 4;

/// Path of a table's group.
const char* group_of(Table table);

/// The numbers of one parameter in the file.
struct DataSegment {
  std::uint64_t offset = 0;  ///< in the file
  Table table = Table::parameters;
  std::size_t parameter = 0;
};

struct BlockLayout {
  SparseMemory metadata;              ///< the block file without its numbers
  std::uint64_t bytes = 0;            ///< size of the block file
  std::vector<DataSegment> segments;  ///< by offset; disjoint
};

/// Lays out the file of `header` (header.average decides about /average). Throws LibraryError.
BlockLayout lay_out_block_file(const BlockFileHeader& header, std::span<const blocks::Parameter> parameters);

/// Names of the training modes in files.

}  // namespace blocktrain::trainer
