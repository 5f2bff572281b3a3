#pragma once
/// A file in memory of which only the parts that were written take room, and the HDF5 driver to write one.

#include <hdf5.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

namespace blocktrain::trainer {

/// Bytes by offset; what was never written reads as zeros.
class SparseMemory {
 public:
  void write(std::uint64_t offset, std::span<const std::byte> data);
  void read(std::uint64_t offset, std::span<std::byte> data) const;
  /// One past the last byte, as set by whoever writes.
  std::uint64_t size() const { return size_; }
  void set_size(std::uint64_t size) { size_ = size; }

 private:
  static constexpr std::size_t page_bytes = 4096;
  std::map<std::uint64_t, std::array<std::byte, page_bytes>> pages_;  ///< by offset / page_bytes
  std::uint64_t size_ = 0;
};

/// Makes HDF5 files opened with the access list `access` go to `memory`, whatever their name; `memory` has to outlive
/// them. Within an Hdf5Session. Throws LibraryError.
void set_sparse_memory_driver(hid_t access, SparseMemory& memory);

}  // namespace blocktrain::trainer
