#include "trainer/export/network_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <system_error>

#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "trainer/export/architecture_export.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/version.hpp"
#include "trainer/support/whole_file.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_version = "1";

/// Whether all blocks have the same values of a parameter that they share: of one that each trains they differ between
/// two averages, and in averages of weights.
bool is_the_same(const TrainedNetwork& network, const blocks::Parameter& shared) {
  const auto bytes_of = [&](int b) {
    const auto& all = network.block(b).parameters();
    const auto own = std::ranges::find(all, shared.name, &blocks::Parameter::name);
    BLOCKTRAIN_EXPECTS(own != all.end() && own->size == shared.size);
    return blocks::view_of(network.parameters(b), *own);
  };
  const kernels::Tensor first = bytes_of(0);
  for (int b = 1; b < network.blocks(); ++b) {
    if (std::memcmp(bytes_of(b).data, first.data, first.bytes()) != 0) return false;
  }
  return true;
}

std::vector<NamedTensor> parameters(const TrainedNetwork& network) {
  std::vector<NamedTensor> all;
  for (int b = 0; b < network.blocks(); ++b) {
    for (const blocks::Parameter& p : network.block(b).parameters()) {
      const bool once = p.shared && is_the_same(network, p);
      if (once && b > 0) continue;
      const std::string name = p.shared && !once ? fmt::format("blocks.{}.{}", b, p.name) : p.name;
      all.push_back({name, blocks::view_of(network.parameters(b), p)});
    }
  }
  return all;
}

bool is_ours(const fs::path& file) {
  const Metadata metadata = read_safetensors_metadata(file.string());
  const auto found = metadata.find("format");
  return found != metadata.end() && std::ranges::any_of(architecture_exports(), [&](const ArchitectureExport& e) {
           return e.format == found->second;
         });
}

void require_replaceable(const fs::path& folder) {
  for (const char* name : {model_file, reference_file}) {
    require_writable((folder / name).string(), "--out", weights_kind());
  }
  for (const ArchitectureExport& e : architecture_exports()) {
    require_writable((folder / e.loader_file).string(), "--out", loader_kind());
  }
}

/// Removes what an earlier export left there and this one does not replace; says what that was.
std::vector<std::string> remove_outdated(const fs::path& folder, const ArchitectureExport& architecture,
                                         bool weights_only) {
  std::vector<std::string> removed;
  std::error_code error;
  const auto remove = [&](const char* name) {
    if (fs::remove(folder / name, error)) removed.emplace_back(name);
  };
  if (weights_only && is_ours(folder / reference_file)) remove(reference_file);
  for (const ArchitectureExport& other : architecture_exports()) {
    const std::string path = (folder / other.loader_file).string();
    if (other.name != architecture.name && loader_kind().is_one(path)) remove(other.loader_file);
  }
  return removed;
}

}  // namespace

const FileKind& weights_kind() {
  static constexpr FileKind kind{"a file of blocktrain export", [](const std::string& path) { return is_ours(path); }};
  return kind;
}

const FileKind& loader_kind() {
  static constexpr FileKind kind{"a loader of blocktrain export", [](const std::string& path) {
                                   return beginning_of(path, 200).find("`blocktrain export`") != std::string::npos;
                                 }};
  return kind;
}

Metadata network_metadata(const TrainedNetwork& network) {
  const Config& config = network.config();
  const ArchitectureExport& architecture = architecture_export_of(network);
  std::vector<int> layers;
  for (int b = 0; b < network.blocks(); ++b) layers.push_back(network.block(b).place().layers);
  Metadata all = {{"format", std::string(architecture.format)},
                  {"format_version", format_version},
                  {"blocktrain", version()},
                  {"architecture", config.model.architecture},
                  {"width", fmt::format("{}", config.model.width)},
                  {"heads", fmt::format("{}", config.model.heads)},
                  {"layers_per_block", join(layers, ",")},
                  {"training", std::string(name_of(config.blocks.training))},
                  {"experiment", network.experiment()},
                  {"weights", network.weights_are_averages() ? "average" : "last"},
                  {"steps", join(network.steps(), ",")}};
  all.merge(architecture.metadata(network));
  return all;
}

void require_export_folder(const std::string& folder) {
  std::error_code error;
  const fs::file_status found = fs::status(folder, error);
  if (!fs::exists(found)) return;
  if (!fs::is_directory(found)) {
    throw InputError(fmt::format("--out: '{}' is not a folder; give the name of a folder to write", folder));
  }
  const fs::path path(folder);
  fs::directory_iterator entries(path, error);
  if (error) throw InputError(fmt::format("--out: cannot read '{}': {}", folder, error.message()));
  if (entries == fs::directory_iterator() || is_ours(path / model_file) || is_ours(path / reference_file)) {
    return require_replaceable(path);
  }
  throw InputError(
      fmt::format("--out: '{}' exists and holds other files ('{}'); accepted: a new folder, an empty one, or an "
                  "earlier export, whose files are replaced",
                  folder, entries->path().filename().string()));
}

ExportedFolder export_network(TrainedNetwork& network, const std::string& folder, bool weights_only) {
  require_export_folder(folder);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw InputError(fmt::format("--out: cannot create '{}': {}", folder, error.message()));

  const ArchitectureExport& architecture = architecture_export_of(network);
  ExportedFolder result;
  const auto write = [&](const char* name, const FileKind& kind, const std::function<void(WholeFile&)>& content) {
    const fs::path path = fs::path(folder) / name;
    std::error_code ignored;
    const bool replaced = fs::exists(path, ignored);
    WholeFile file(path.string(), "--out", kind);
    content(file);
    file.commit();
    result.files.push_back({name, fs::file_size(path), replaced});
  };
  // First, for it tells an earlier export apart from other folders, also when the rest cannot be written.
  write(model_file, weights_kind(),
        [&](WholeFile& file) { write_safetensors(file, parameters(network), network_metadata(network)); });
  result.removed = remove_outdated(folder, architecture, weights_only);
  if (weights_only) return result;
  write(reference_file, weights_kind(), [&](WholeFile& file) {
    const auto reference = architecture.reference(network);
    Metadata metadata = reference->metadata();
    metadata["format"] = architecture.format;
    metadata["format_version"] = format_version;
    write_safetensors(file, reference->tensors(), metadata);
  });
  write(architecture.loader_file, loader_kind(), [&](WholeFile& file) { file.write(architecture.loader()); });
  return result;
}

}  // namespace blocktrain::trainer
