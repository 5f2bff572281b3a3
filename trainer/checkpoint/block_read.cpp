// Reads block files, which may come from anybody: nothing in them is believed before it is checked.

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <map>

#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/block_layout.hpp"
#include "trainer/checkpoint/block_values.hpp"
#include "trainer/checkpoint/file_system.hpp"
#include "trainer/checkpoint/hdf5_file.hpp"

namespace blocktrain::trainer {
namespace {

constexpr const char* replace_advice =
    "Put back a good copy or remove it: `--resume` then goes on from the checkpoint before";

constexpr std::array<const char*, 10> header_attributes{"format", "version",    "block",    "blocks",      "step",
                                                        "seed",   "experiment", "training", "first_layer", "layers"};

/// A block file being read; `refuse` speaks for it.
class BlockFileReader {
 public:
  explicit BlockFileReader(const std::filesystem::path& path) : path_(path.string()) { require_hdf5(path); }

  BlockFileHeader header(hid_t file) const;
  void check_expected(const BlockFileHeader& found, const BlockFileHeader& expected) const;
  void read_table(hid_t file, Table table, std::span<const blocks::Parameter> parameters, std::span<float> flat) const;
  void require_objects(hid_t file, bool average) const;

  [[noreturn]] void refuse(const std::string& what, const char* advice = replace_advice) const {
    throw InputError(path_ + ": " + what + ". " + advice);
  }

 private:
  void require_hdf5(const std::filesystem::path& path) const;
  std::map<std::string, H5L_type_t> links(hid_t group, std::size_t at_most) const;
  Hdf5Handle open_group(hid_t file, const char* name) const;
  Hdf5Handle open_attribute(hid_t file, const char* name) const;
  std::int64_t read_integer(hid_t file, const char* name, std::int64_t smallest, std::int64_t largest) const;
  std::string read_string(hid_t file, const char* name) const;
  std::uint64_t read_seed(hid_t file) const;
  void require_attributes(hid_t file) const;
  void require_dataset(hid_t dataset, const std::string& name, const blocks::Parameter& p) const;

  std::string path_;
};

/// Looks at the superblock before HDF5 does: other versions of it have no checksums, so damage could lead the library
/// anywhere; and a cut file is better named as one.
void BlockFileReader::require_hdf5(const std::filesystem::path& path) const {
  const std::optional<RegularFile> file = open_regular_file(path);
  if (!file) throw RunError(path_ + ": there is no such file");
  constexpr std::size_t superblock_bytes = 48;
  constexpr std::array<unsigned char, 8> signature{0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  std::array<std::byte, superblock_bytes> head{};
  if (file->bytes < superblock_bytes) refuse(fmt::format("has {} bytes, too few for a checkpoint", file->bytes));
  if (const int error = read_exactly(file->descriptor.get(), 0, head); error != 0) {
    throw RunError("cannot read " + path_ + ": " + error_text(error));
  }
  if (std::memcmp(head.data(), signature.data(), signature.size()) != 0) {
    refuse("is not an HDF5 file, which a checkpoint is");
  }
  const auto version = std::to_integer<int>(head[8]);
  if ((version != 2 && version != 3) || std::to_integer<int>(head[9]) != 8 || std::to_integer<int>(head[10]) != 8) {
    refuse(fmt::format("is an HDF5 file of a kind that blocktrain does not write (superblock version {})", version));
  }
  std::uint64_t end = 0;
  std::memcpy(&end, head.data() + 28, sizeof end);  // end-of-file address; base address 0 in our files
  if (end != file->bytes)
    refuse(fmt::format("has {} bytes and says that it has {}: it was cut or changed", file->bytes, end));
}

struct LinkList {
  std::map<std::string, H5L_type_t> links;
  std::size_t at_most = 0;
};

/// HDF5 calls this from C: nothing may be thrown. Stops once there are more links than any good file has.
herr_t append_link(hid_t, const char* name, const H5L_info_t* info, void* list_pointer) noexcept {
  try {
    auto& list = *static_cast<LinkList*>(list_pointer);
    list.links.emplace(name, info->type);
    return list.links.size() > list.at_most ? 1 : 0;
  } catch (...) {
    return -1;
  }
}

herr_t append_attribute(hid_t, const char* name, const H5A_info_t*, void* names) noexcept {
  try {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return 0;
  } catch (...) {
    return -1;
  }
}

std::map<std::string, H5L_type_t> BlockFileReader::links(hid_t group, std::size_t at_most) const {
  LinkList list{.links = {}, .at_most = at_most};
  BLOCKTRAIN_HDF5(H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, append_link, &list));
  return std::move(list.links);
}

/// Opens the group behind a path whose links the caller has checked to be hard ones.
Hdf5Handle BlockFileReader::open_group(hid_t file, const char* name) const {
  Hdf5Handle object = BLOCKTRAIN_HDF5_OPEN(H5Oopen(file, name, H5P_DEFAULT), H5Oclose);
  if (H5Iget_type(object) != H5I_GROUP) refuse(fmt::format("{} is not a group", name));
  return object;
}

void BlockFileReader::require_objects(hid_t file, bool average) const {
  // Hard links only: soft and external ones lead elsewhere, out of the file even.
  const auto require = [this](const std::map<std::string, H5L_type_t>& found, std::initializer_list<const char*> names,
                              const char* where) {
    for (const char* name : names) {
      const auto link = found.find(name);
      if (link == found.end()) refuse(fmt::format("the group {}{} is missing", where, name));
      if (link->second != H5L_TYPE_HARD) refuse(fmt::format("{}{} is a link to elsewhere", where, name));
    }
    for (const auto& [name, type] : found) {
      bool known = false;
      for (const char* n : names) known = known || name == n;
      if (!known)
        refuse(fmt::format("holds {}{}, which no checkpoint of version {} has", where, printable(name),
                           block_file_version));
    }
  };
  const auto root = links(file, 3);
  if (average) {
    require(root, {"parameters", "optimizer", "average"}, "/");
  } else {
    require(root, {"parameters", "optimizer"}, "/");
  }
  require(links(open_group(file, "/optimizer"), 2), {"first_moment", "second_moment"}, "/optimizer/");
}

Hdf5Handle BlockFileReader::open_attribute(hid_t file, const char* name) const {
  if (BLOCKTRAIN_HDF5(H5Aexists(file, name)) == 0) {
    refuse(fmt::format("has no attribute {}; it is no checkpoint of blocktrain", name));
  }
  Hdf5Handle attribute = BLOCKTRAIN_HDF5_OPEN(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
  const Hdf5Handle space = BLOCKTRAIN_HDF5_OPEN(H5Aget_space(attribute), H5Sclose);
  if (BLOCKTRAIN_HDF5(H5Sget_simple_extent_type(space)) != H5S_SCALAR) {
    refuse(fmt::format("the attribute {} is not a single value", name));
  }
  return attribute;
}

std::int64_t BlockFileReader::read_integer(hid_t file, const char* name, std::int64_t smallest,
                                           std::int64_t largest) const {
  const Hdf5Handle attribute = open_attribute(file, name);
  const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Aget_type(attribute), H5Tclose);
  if (BLOCKTRAIN_HDF5(H5Tequal(type, H5T_STD_I64LE)) == 0)
    refuse(fmt::format("the attribute {} is not a 64-bit integer", name));
  std::int64_t value = 0;
  BLOCKTRAIN_HDF5(H5Aread(attribute, H5T_NATIVE_INT64, &value));
  if (value < smallest || value > largest) {
    refuse(fmt::format("the attribute {} is {}; accepted: {} to {}", name, value, smallest, largest));
  }
  return value;
}

std::uint64_t BlockFileReader::read_seed(hid_t file) const {
  const Hdf5Handle attribute = open_attribute(file, "seed");
  const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Aget_type(attribute), H5Tclose);
  if (BLOCKTRAIN_HDF5(H5Tequal(type, H5T_STD_U64LE)) == 0)
    refuse("the attribute seed is not an unsigned 64-bit integer");
  std::uint64_t value = 0;
  BLOCKTRAIN_HDF5(H5Aread(attribute, H5T_NATIVE_UINT64, &value));
  return value;
}

std::string BlockFileReader::read_string(hid_t file, const char* name) const {
  const Hdf5Handle attribute = open_attribute(file, name);
  const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Aget_type(attribute), H5Tclose);
  constexpr std::size_t longest = 128;
  const std::size_t size = H5Tget_size(type);
  if (BLOCKTRAIN_HDF5(H5Tget_class(type)) != H5T_STRING || BLOCKTRAIN_HDF5(H5Tis_variable_str(type)) != 0 || size < 1 ||
      size > longest) {
    refuse(fmt::format("the attribute {} is not a string of 1 to {} characters of fixed size", name, longest));
  }
  std::string value(size, '\0');
  BLOCKTRAIN_HDF5(H5Aread(attribute, type, value.data()));
  return value.substr(0, value.find('\0'));
}

/// Another attribute may mean something that this reader would miss.
void BlockFileReader::require_attributes(hid_t file) const {
  std::vector<std::string> names;
  BLOCKTRAIN_HDF5(H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, append_attribute, &names));
  for (const std::string& name : names) {
    bool known = false;
    for (const char* n : header_attributes) known = known || name == n;
    if (!known)
      refuse(fmt::format("has an attribute {}, which no checkpoint of version {} has", printable(name),
                         block_file_version));
  }
}

BlockFileHeader BlockFileReader::header(hid_t file) const {
  constexpr std::int64_t any = INT64_MAX;
  if (const std::string format = read_string(file, "format"); format != "blocktrain-block") {
    refuse(fmt::format("its format is \"{}\", not \"blocktrain-block\"", printable(format)));
  }
  if (const std::int64_t version = read_integer(file, "version", 1, any); version > block_file_version) {
    refuse(fmt::format("is of version {}, and this blocktrain reads versions up to {}", version, block_file_version),
           "Use the newer blocktrain that wrote it");
  }
  BlockFileHeader header;
  header.blocks = static_cast<int>(read_integer(file, "blocks", 1, max_blocks));
  header.block = static_cast<int>(read_integer(file, "block", 0, header.blocks - 1));
  header.step = read_integer(file, "step", 0, max_step);
  header.seed = read_seed(file);
  header.experiment = read_string(file, "experiment");
  if (!is_experiment_identity(header.experiment)) refuse("the attribute experiment is not in hex digits");
  const std::string training = read_string(file, "training");
  if (training == training_name(TrainingMode::end_to_end)) {
    header.training = TrainingMode::end_to_end;
  } else if (training != training_name(TrainingMode::block_local)) {
    refuse(fmt::format("the attribute training is \"{}\"; accepted: block_local, end_to_end", printable(training)));
  }
  header.first_layer = static_cast<int>(read_integer(file, "first_layer", 0, INT32_MAX));
  header.layers = static_cast<int>(read_integer(file, "layers", 1, INT32_MAX));
  require_attributes(file);
  header.average = BLOCKTRAIN_HDF5(H5Lexists(file, "average", H5P_DEFAULT)) > 0;
  return header;
}

void BlockFileReader::check_expected(const BlockFileHeader& found, const BlockFileHeader& expected) const {
  if (found.experiment != expected.experiment) {
    refuse(fmt::format("belongs to experiment {}, not to {}", found.experiment, expected.experiment),
           "Use the config it was trained with (config.yaml in its RUN folder), or another log.directory");
  }
  const auto require = [this](const auto& value, const auto& wanted, const char* what) {
    if (value != wanted) refuse(fmt::format("its {} is {}, expected {}", what, value, wanted));
  };
  require(found.block, expected.block, "block");
  require(found.blocks, expected.blocks, "number of blocks");
  if (expected.step >= 0) require(found.step, expected.step, "step");
  require(found.seed, expected.seed, "seed");
  require(std::string(training_name(found.training)), std::string(training_name(expected.training)), "training mode");
  require(found.first_layer, expected.first_layer, "first layer");
  require(found.layers, expected.layers, "number of layers");
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text;
  for (const std::int64_t d : shape) text += (text.empty() ? "" : ", ") + std::to_string(d);
  return "[" + text + "]";
}

/// Checks kind, shape, type and storage: plain float32 numbers inside this very file.
void BlockFileReader::require_dataset(hid_t dataset, const std::string& name, const blocks::Parameter& p) const {
  if (H5Iget_type(dataset) != H5I_DATASET) refuse(name + " is not a dataset");
  const Hdf5Handle space = BLOCKTRAIN_HDF5_OPEN(H5Dget_space(dataset), H5Sclose);
  std::array<hsize_t, H5S_MAX_RANK> dims{};
  std::vector<std::int64_t> shape;
  if (BLOCKTRAIN_HDF5(H5Sget_simple_extent_type(space)) == H5S_SIMPLE) {
    const int rank = BLOCKTRAIN_HDF5(H5Sget_simple_extent_ndims(space));
    if (rank > H5S_MAX_RANK) refuse(name + " has too many dimensions");
    BLOCKTRAIN_HDF5(H5Sget_simple_extent_dims(space, dims.data(), nullptr));
    for (int i = 0; i < rank; ++i) shape.push_back(static_cast<std::int64_t>(dims[static_cast<std::size_t>(i)]));
  }
  if (shape != p.shape) {
    refuse(fmt::format("{} has shape {}, the network's has {}", name, shape_text(shape), shape_text(p.shape)));
  }
  const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Dget_type(dataset), H5Tclose);
  if (BLOCKTRAIN_HDF5(H5Tequal(type, H5T_IEEE_F32LE)) == 0) refuse(name + " is not of type float32, little-endian");
  const Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Dget_create_plist(dataset), H5Pclose);
  if (BLOCKTRAIN_HDF5(H5Pget_layout(list)) != H5D_CONTIGUOUS || BLOCKTRAIN_HDF5(H5Pget_external_count(list)) != 0 ||
      BLOCKTRAIN_HDF5(H5Pget_nfilters(list)) != 0 ||
      H5Dget_storage_size(dataset) != static_cast<hsize_t>(p.size) * sizeof(float)) {
    refuse(name + " is not stored as one plain piece inside the file");
  }
}

void BlockFileReader::read_table(hid_t file, Table table, std::span<const blocks::Parameter> parameters,
                                 std::span<float> flat) const {
  const Hdf5Handle group = open_group(file, group_of(table));
  const std::map<std::string, H5L_type_t> found = links(group, parameters.size());
  for (const blocks::Parameter& p : parameters) {
    const std::string name = std::string(group_of(table)) + "/" + p.name;
    const auto link = found.find(p.name);
    if (link == found.end()) refuse(name + " is missing; the network has it");
    if (link->second != H5L_TYPE_HARD) refuse(name + " is a link to elsewhere");
    const Hdf5Handle dataset = BLOCKTRAIN_HDF5_OPEN(H5Oopen(group, p.name.c_str(), H5P_DEFAULT), H5Oclose);
    require_dataset(dataset, name, p);
    if (flat.empty()) continue;
    const std::span<float> own = slice(flat, p);
    BLOCKTRAIN_HDF5(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, own.data()));
    if (const auto bad = find_unusable(own, table); bad) {
      refuse(fmt::format("{} has {} at element {}; numbers have to be finite, second moments not negative", name,
                         own[*bad], *bad));
    }
  }
  if (found.size() > parameters.size()) {
    for (const auto& [name, type] : found) {
      bool known = false;
      for (const blocks::Parameter& p : parameters) known = known || p.name == name;
      if (!known) refuse(fmt::format("holds {}/{}, which the network does not have", group_of(table), printable(name)));
    }
  }
}

/// Opens the file for `work(reader, file)`; what HDF5 cannot read is the file's fault.
template <class Work>
BlockFileHeader with_file(const std::filesystem::path& path, Work work) {
  const BlockFileReader reader(path);
  const Hdf5Session session;
  try {
    const Hdf5Handle access = hdf5_file_access();
    const Hdf5Handle file = BLOCKTRAIN_HDF5_OPEN(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
    return work(reader, file);
  } catch (const LibraryError& error) {
    reader.refuse(std::string("cannot be read as a checkpoint: ") + error.what());
  }
}

}  // namespace

BlockFileHeader read_block_header(const std::filesystem::path& path) {
  return with_file(path, [](const BlockFileReader& reader, hid_t file) {
    BlockFileHeader header = reader.header(file);
    reader.require_objects(file, header.average);
    return header;
  });
}

BlockFileHeader read_block_file(const std::filesystem::path& path, const BlockFileHeader& expected,
                                std::span<const blocks::Parameter> parameters, const BlockTensors<float>& tensors) {
  require_sound(parameters);
  return with_file(path, [&](const BlockFileReader& reader, hid_t file) {
    BlockFileHeader header = reader.header(file);
    reader.check_expected(header, expected);
    reader.require_objects(file, header.average);
    if (!tensors.average.empty() && !header.average) {
      reader.refuse("has no moving average of the weights (/average)", "Train with optimizer.average_decay above 0");
    }
    reader.read_table(file, Table::parameters, parameters, tensors.parameters);
    reader.read_table(file, Table::first_moment, parameters, tensors.first_moment);
    reader.read_table(file, Table::second_moment, parameters, tensors.second_moment);
    if (header.average) reader.read_table(file, Table::average, parameters, tensors.average);
    return header;
  });
}

}  // namespace blocktrain::trainer
