#include "trainer/checkpoint/sparse_memory.hpp"

#include <algorithm>
#include <new>

#include "trainer/checkpoint/hdf5_file.hpp"
#if __has_include(<H5FDdevelop.h>)
#include <H5FDdevelop.h>
#endif

namespace blocktrain::trainer {

void SparseMemory::write(std::uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::uint64_t within = offset % page_bytes;
    const std::size_t piece = std::min<std::size_t>(data.size(), page_bytes - within);
    std::ranges::copy(data.first(piece), pages_[offset / page_bytes].begin() + static_cast<std::ptrdiff_t>(within));
    data = data.subspan(piece);
    offset += piece;
  }
}

void SparseMemory::read(std::uint64_t offset, std::span<std::byte> data) const {
  while (!data.empty()) {
    const std::uint64_t within = offset % page_bytes;
    const std::size_t piece = std::min<std::size_t>(data.size(), page_bytes - within);
    if (const auto page = pages_.find(offset / page_bytes); page != pages_.end()) {
      std::ranges::copy_n(page->second.begin() + static_cast<std::ptrdiff_t>(within),
                          static_cast<std::ptrdiff_t>(piece), data.begin());
    } else {
      std::ranges::fill(data.first(piece), std::byte{0});
    }
    data = data.subspan(piece);
    offset += piece;
  }
}

namespace {

// The driver. HDF5 calls these functions from C: they return -1 or null instead of throwing.

struct DriverInfo {
  SparseMemory* memory;
};

struct DriverFile {
  H5FD_t base;  // HDF5 takes a pointer to the file for one to this
  SparseMemory* memory;
  haddr_t end_of_addresses;
};

DriverFile& driver_file(H5FD_t* file) { return *reinterpret_cast<DriverFile*>(file); }
const DriverFile& driver_file(const H5FD_t* file) { return *reinterpret_cast<const DriverFile*>(file); }

H5FD_t* open_file(const char*, unsigned, hid_t access, haddr_t) noexcept {
  const auto* info = static_cast<const DriverInfo*>(H5Pget_driver_info(access));
  if (info == nullptr) return nullptr;
  auto* file = new (std::nothrow) DriverFile{};
  if (file == nullptr) return nullptr;
  file->memory = info->memory;
  return &file->base;
}

herr_t close_file(H5FD_t* file) noexcept {
  delete &driver_file(file);
  return 0;
}

// Small pieces of metadata are allocated together, as in files on disk.
herr_t query_file(const H5FD_t*, unsigned long* features) noexcept {
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
  return 0;
}

haddr_t get_end_of_addresses(const H5FD_t* file, H5FD_mem_t) noexcept { return driver_file(file).end_of_addresses; }

herr_t set_end_of_addresses(H5FD_t* file, H5FD_mem_t, haddr_t end) noexcept {
  driver_file(file).end_of_addresses = end;
  return 0;
}

haddr_t get_end_of_file(const H5FD_t* file, H5FD_mem_t) noexcept { return driver_file(file).memory->size(); }

herr_t read_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t offset, std::size_t size, void* data) noexcept {
  driver_file(file).memory->read(offset, {static_cast<std::byte*>(data), size});
  return 0;
}

herr_t write_file(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t offset, std::size_t size, const void* data) noexcept {
  try {
    SparseMemory& memory = *driver_file(file).memory;
    memory.write(offset, {static_cast<const std::byte*>(data), size});
    memory.set_size(std::max<std::uint64_t>(memory.size(), offset + size));
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

herr_t truncate_file(H5FD_t* file, hid_t, hbool_t) noexcept {
  driver_file(file).memory->set_size(driver_file(file).end_of_addresses);
  return 0;
}

}  // namespace

void set_sparse_memory_driver(hid_t access, SparseMemory& memory) {
  // Member by member: their number and order differ between versions of HDF5.
  H5FD_class_t driver{};
#ifdef H5FD_CLASS_VERSION
  driver.version = H5FD_CLASS_VERSION;
#endif
#if H5_VERSION_GE(1, 13, 2)
  driver.value = static_cast<H5FD_class_value_t>(600);  // any above the reserved ones
#endif
  driver.name = "blocktrain_sparse_memory";
  driver.maxaddr = static_cast<haddr_t>(INT64_MAX);
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.fapl_size = sizeof(DriverInfo);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query_file;
  driver.get_eoa = get_end_of_addresses;
  driver.set_eoa = set_end_of_addresses;
  driver.get_eof = get_end_of_file;
  driver.read = read_file;
  driver.write = write_file;
  driver.truncate = truncate_file;
  const Hdf5Handle id = BLOCKTRAIN_HDF5_OPEN(H5FDregister(&driver), H5FDunregister);
  const DriverInfo info{&memory};
  BLOCKTRAIN_HDF5(H5Pset_driver(access, id, &info));
}

}  // namespace blocktrain::trainer
