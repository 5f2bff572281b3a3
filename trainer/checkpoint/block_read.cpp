// Reads block files, which may come from anybody: nothing in them is believed before it is checked.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "trainer/checkpoint/block_file.hpp"
#include "trainer/checkpoint/block_layout.hpp"
#include "trainer/checkpoint/block_values.hpp"
#include "trainer/checkpoint/hdf5_structure.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

constexpr const char* replace_advice =
    "Put back a good copy or remove it: `--resume` then goes on from the checkpoint before";

constexpr std::array<const char*, 10> header_attributes{"format", "version",    "block",    "blocks",      "step",
                                                        "seed",   "experiment", "training", "first_layer", "layers"};

template <class Names>
bool contains(const Names& names, const std::string& name) {
  return std::ranges::any_of(names, [&](const char* n) { return name == n; });
}

const StoredAttribute& require_attribute(const Hdf5Structure& file, const StoredObject& root, const char* name,
                                         StoredType type, const char* type_name) {
  const auto found = root.attributes.find(name);
  if (found == root.attributes.end()) {
    file.refuse(fmt::format("has no attribute {}; it is no checkpoint of blocktrain", name));
  }
  if (!found->second.scalar) file.refuse(fmt::format("the attribute {} is not a single value", name));
  if (found->second.type != type) file.refuse(fmt::format("the attribute {} is not {}", name, type_name));
  return found->second;
}

template <class Integer>
Integer integer_of(const StoredAttribute& attribute) {
  Integer value = 0;
  BLOCKTRAIN_EXPECTS(attribute.value.size() == sizeof value);
  std::memcpy(&value, attribute.value.data(), sizeof value);
  return value;
}

std::int64_t read_integer(const Hdf5Structure& file, const StoredObject& root, const char* name, std::int64_t smallest,
                          std::int64_t largest) {
  const auto value =
      integer_of<std::int64_t>(require_attribute(file, root, name, StoredType::int64, "a 64-bit integer"));
  if (value < smallest || value > largest) {
    file.refuse(fmt::format("the attribute {} is {}; accepted: {} to {}", name, value, smallest, largest));
  }
  return value;
}

std::string read_string(const Hdf5Structure& file, const StoredObject& root, const char* name) {
  const std::vector<std::byte>& value =
      require_attribute(file, root, name, StoredType::string, "a string of fixed size").value;
  const std::string text(reinterpret_cast<const char*>(value.data()), value.size());
  return text.substr(0, text.find('\0'));
}

BlockFileHeader read_header(const Hdf5Structure& file, const StoredObject& root) {
  if (const std::string format = read_string(file, root, "format"); format != "blocktrain-block") {
    file.refuse(fmt::format("its format is \"{}\", not \"blocktrain-block\"", printable(format)));
  }
  if (const std::int64_t version = read_integer(file, root, "version", 1, INT64_MAX); version > block_file_version) {
    file.refuse(
        fmt::format("is of version {}, and this blocktrain reads versions up to {}", version, block_file_version),
        "Use the newer blocktrain that wrote it");
  }
  // Another attribute may mean something that this reader would miss.
  for (const auto& [name, attribute] : root.attributes) {
    if (!contains(header_attributes, name)) {
      file.refuse(fmt::format("has an attribute {}, which no checkpoint of version {} has", printable(name),
                              block_file_version));
    }
  }
  BlockFileHeader header;
  header.blocks = static_cast<int>(read_integer(file, root, "blocks", 1, max_blocks));
  header.block = static_cast<int>(read_integer(file, root, "block", 0, header.blocks - 1));
  header.step = read_integer(file, root, "step", 0, max_step);
  header.seed = integer_of<std::uint64_t>(
      require_attribute(file, root, "seed", StoredType::uint64, "an unsigned 64-bit integer"));
  header.experiment = read_string(file, root, "experiment");
  if (!is_experiment_identity(header.experiment)) file.refuse("the attribute experiment is not 1 to 128 hex digits");
  const std::string training = read_string(file, root, "training");
  if (training == name_of(TrainingMode::end_to_end)) {
    header.training = TrainingMode::end_to_end;
  } else if (training != name_of(TrainingMode::block_local)) {
    file.refuse(
        fmt::format("the attribute training is \"{}\"; accepted: block_local, end_to_end", printable(training)));
  }
  header.first_layer = static_cast<int>(read_integer(file, root, "first_layer", 0, INT32_MAX));
  header.layers = static_cast<int>(read_integer(file, root, "layers", 1, INT32_MAX));
  header.average = root.links.contains("average");
  return header;
}

void require_expected(const Hdf5Structure& file, const BlockFileHeader& found, const BlockFileHeader& expected) {
  if (found.experiment != expected.experiment) {
    file.refuse(fmt::format("belongs to experiment {}, not to {}", found.experiment, expected.experiment),
                "Use the config it was trained with (config.yaml in its RUN folder), or another log.directory");
  }
  const auto require = [&file](const auto& value, const auto& wanted, const char* what) {
    if (value != wanted) file.refuse(fmt::format("its {} is {}, expected {}", what, value, wanted));
  };
  require(found.block, expected.block, "block");
  require(found.blocks, expected.blocks, "number of blocks");
  if (expected.step >= 0) require(found.step, expected.step, "step");
  require(found.seed, expected.seed, "seed");
  require(std::string(name_of(found.training)), std::string(name_of(expected.training)), "training mode");
  require(found.first_layer, expected.first_layer, "first layer");
  require(found.layers, expected.layers, "number of layers");
}

/// The object behind a link of `group`, whose path is `where` (empty for the root).
StoredObject follow(const Hdf5Structure& file, const StoredObject& group, const std::string& where,
                    const std::string& name, const char* missing) {
  const auto link = group.links.find(name);
  if (link == group.links.end()) file.refuse(where + "/" + name + " is missing" + missing);
  if (link->second.kind != LinkKind::hard) file.refuse(where + "/" + name + " is a link to elsewhere");
  return file.object(link->second.address);
}

StoredObject follow_group(const Hdf5Structure& file, const StoredObject& group, const std::string& where,
                          const char* name) {
  StoredObject found = follow(file, group, where, name, "");
  if (found.dataset) file.refuse(where + "/" + name + " is not a group");
  return found;
}

void require_links(const Hdf5Structure& file, const StoredObject& group, const std::string& where,
                   std::initializer_list<const char*> names) {
  for (const auto& [name, link] : group.links) {
    if (!contains(names, name)) {
      file.refuse(fmt::format("holds {}/{}, which no checkpoint of version {} has", where, printable(name),
                              block_file_version));
    }
  }
}

/// Groups of a block file by table; the average's is empty when there is none.
std::array<StoredObject, tables> read_groups(const Hdf5Structure& file, const StoredObject& root) {
  require_links(file, root, "", {"parameters", "optimizer", "average"});
  const StoredObject optimizer = follow_group(file, root, "", "optimizer");
  require_links(file, optimizer, "/optimizer", {"first_moment", "second_moment"});
  return {follow_group(file, root, "", "parameters"), follow_group(file, optimizer, "/optimizer", "first_moment"),
          follow_group(file, optimizer, "/optimizer", "second_moment"),
          root.links.contains("average") ? follow_group(file, root, "", "average") : StoredObject()};
}

template <class Integer>
std::string shape_text(const std::vector<Integer>& shape) {
  return "[" + join(shape) + "]";
}

/// Reads one table into `flat`; an empty one is only checked.
void read_table(const Hdf5Structure& file, const StoredObject& group, Table table,
                std::span<const blocks::Parameter> parameters, std::span<float> flat) {
  for (const blocks::Parameter& p : parameters) {
    const std::string name = std::string(group_of(table)) + "/" + p.name;
    const StoredObject object = follow(file, group, group_of(table), p.name, "; the network has it");
    if (!object.dataset) file.refuse(name + " is not a dataset");
    const StoredDataset& dataset = *object.dataset;
    if (!std::ranges::equal(dataset.shape, p.shape,
                            [](std::uint64_t a, std::int64_t b) { return a == static_cast<std::uint64_t>(b); })) {
      file.refuse(
          fmt::format("{} has shape {}, the network's has {}", name, shape_text(dataset.shape), shape_text(p.shape)));
    }
    if (dataset.type != StoredType::float32) file.refuse(name + " is not of type float32, little-endian");
    if (!dataset.plain) file.refuse(name + " is not stored as one plain piece inside the file");
    if (flat.empty()) continue;
    const std::span<float> own = slice(flat, p);
    file.read(dataset.offset, std::as_writable_bytes(own));
    if (const auto bad = find_unusable(own, table); bad) {
      file.refuse(fmt::format("{} has {} at element {}; numbers have to be finite, second moments not negative", name,
                              own[*bad], *bad));
    }
  }
  if (group.links.size() == parameters.size()) return;
  for (const auto& [name, link] : group.links) {
    if (std::ranges::find(parameters, name, &blocks::Parameter::name) == parameters.end()) {
      file.refuse(fmt::format("holds {}/{}, which the network does not have", group_of(table), printable(name)));
    }
  }
}

}  // namespace

BlockFileHeader read_block_header(const std::filesystem::path& path) {
  const Hdf5Structure file(path, replace_advice);
  const StoredObject root = file.object(file.root());
  const BlockFileHeader header = read_header(file, root);
  read_groups(file, root);
  return header;
}

BlockFileHeader read_block_file(const std::filesystem::path& path, const BlockFileHeader& expected,
                                std::span<const blocks::Parameter> parameters, const BlockTensors<float>& tensors) {
  require_sound(parameters);
  const Hdf5Structure file(path, replace_advice);
  const StoredObject root = file.object(file.root());
  const BlockFileHeader header = read_header(file, root);
  require_expected(file, header, expected);
  const std::array<StoredObject, tables> groups = read_groups(file, root);
  if (!tensors.average.empty() && !header.average) {
    file.refuse("has no moving average of the weights (/average)", "Train with optimizer.average_decay above 0");
  }
  read_table(file, groups[0], Table::parameters, parameters, tensors.parameters);
  read_table(file, groups[1], Table::first_moment, parameters, tensors.first_moment);
  read_table(file, groups[2], Table::second_moment, parameters, tensors.second_moment);
  if (header.average) read_table(file, groups[3], Table::average, parameters, tensors.average);
  return header;
}

}  // namespace blocktrain::trainer
