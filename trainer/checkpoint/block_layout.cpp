#include "trainer/checkpoint/block_layout.hpp"

#include <algorithm>

#include "trainer/checkpoint/hdf5_file.hpp"

namespace blocktrain::trainer {
namespace {

// Everything that could differ between two writings of the same state is fixed here: format version, times, and
// storage of links and attributes (HDF5 switches to another structure when there are many).
Hdf5Handle file_access(SparseMemory& memory) {
  Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  BLOCKTRAIN_HDF5(H5Pset_fclose_degree(list, H5F_CLOSE_STRONG));
  set_sparse_memory_driver(list, memory);
  BLOCKTRAIN_HDF5(H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_V18));
  return list;
}

constexpr unsigned compact_links = 65535;
constexpr unsigned compact_attributes = 64;

Hdf5Handle file_creation() {
  Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  BLOCKTRAIN_HDF5(H5Pset_obj_track_times(list, false));
  BLOCKTRAIN_HDF5(H5Pset_link_phase_change(list, compact_links, 0));
  BLOCKTRAIN_HDF5(H5Pset_attr_phase_change(list, compact_attributes, 0));
  return list;
}

Hdf5Handle group_creation() {
  Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  BLOCKTRAIN_HDF5(H5Pset_obj_track_times(list, false));
  BLOCKTRAIN_HDF5(H5Pset_link_phase_change(list, compact_links, 0));
  return list;
}

Hdf5Handle dataset_creation() {
  Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  BLOCKTRAIN_HDF5(H5Pset_obj_track_times(list, false));
  BLOCKTRAIN_HDF5(H5Pset_layout(list, H5D_CONTIGUOUS));
  BLOCKTRAIN_HDF5(H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY));  // an offset now ...
  BLOCKTRAIN_HDF5(H5Pset_fill_time(list, H5D_FILL_TIME_NEVER));    // ... and nothing written there
  return list;
}

void write_attribute(hid_t object, const char* name, hid_t file_type, hid_t memory_type, const void* value) {
  const Hdf5Handle space = BLOCKTRAIN_HDF5_OPEN(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute =
      BLOCKTRAIN_HDF5_OPEN(H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  BLOCKTRAIN_HDF5(H5Awrite(attribute, memory_type, value));
}

void write_integer(hid_t object, const char* name, std::int64_t value) {
  write_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void write_string(hid_t object, const char* name, const std::string& value) {
  const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Tcopy(H5T_C_S1), H5Tclose);
  BLOCKTRAIN_HDF5(H5Tset_size(type, value.size()));
  BLOCKTRAIN_HDF5(H5Tset_strpad(type, H5T_STR_NULLPAD));
  write_attribute(object, name, type, type, value.data());
}

void write_header(hid_t file, const BlockFileHeader& header) {
  write_string(file, "format", "blocktrain-block");
  write_integer(file, "version", block_file_version);
  write_integer(file, "block", header.block);
  write_integer(file, "blocks", header.blocks);
  write_integer(file, "step", header.step);
  write_attribute(file, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &header.seed);
  write_string(file, "experiment", header.experiment);
  write_string(file, "training", std::string(name_of(header.training)));
  write_integer(file, "first_layer", header.first_layer);
  write_integer(file, "layers", header.layers);
}

/// Makes the table's group and datasets; appends where HDF5 placed the numbers.
void lay_out_table(hid_t file, Table table, std::span<const blocks::Parameter> parameters,
                   std::vector<DataSegment>& segments) {
  const Hdf5Handle group_list = group_creation();
  const Hdf5Handle dataset_list = dataset_creation();
  const Hdf5Handle group =
      BLOCKTRAIN_HDF5_OPEN(H5Gcreate2(file, group_of(table), H5P_DEFAULT, group_list, H5P_DEFAULT), H5Gclose);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::vector<hsize_t> shape(parameters[i].shape.begin(), parameters[i].shape.end());
    const Hdf5Handle space =
        BLOCKTRAIN_HDF5_OPEN(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
    const Hdf5Handle dataset = BLOCKTRAIN_HDF5_OPEN(
        H5Dcreate2(group, parameters[i].name.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, dataset_list, H5P_DEFAULT),
        H5Dclose);
    const haddr_t offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF) throw_library_error("H5Dget_offset", __FILE__, __LINE__, hdf5_error_text());
    segments.push_back({.offset = offset, .table = table, .parameter = i});
  }
}

}  // namespace

const char* group_of(Table table) {
  switch (table) {
    case Table::parameters:
      return "/parameters";
    case Table::first_moment:
      return "/optimizer/first_moment";
    case Table::second_moment:
      return "/optimizer/second_moment";
    case Table::average:
      break;
  }
  return "/average";
}

BlockLayout lay_out_block_file(const BlockFileHeader& header, std::span<const blocks::Parameter> parameters) {
  BlockLayout layout;
  const Hdf5Session session;
  const Hdf5Handle access = file_access(layout.metadata);
  const Hdf5Handle creation = file_creation();
  Hdf5Handle file = BLOCKTRAIN_HDF5_OPEN(H5Fcreate("block", H5F_ACC_TRUNC, creation, access), H5Fclose);
  write_header(file, header);
  {
    const Hdf5Handle group_list = group_creation();
    const Hdf5Handle optimizer =
        BLOCKTRAIN_HDF5_OPEN(H5Gcreate2(file, "/optimizer", H5P_DEFAULT, group_list, H5P_DEFAULT), H5Gclose);
  }
  for (const Table table : {Table::parameters, Table::first_moment, Table::second_moment, Table::average}) {
    if (table != Table::average || header.average) lay_out_table(file, table, parameters, layout.segments);
  }
  file.close();

  layout.bytes = layout.metadata.size();
  std::ranges::sort(layout.segments, {}, &DataSegment::offset);
  return layout;
}

}  // namespace blocktrain::trainer
