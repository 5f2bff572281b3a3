#include "trainer/export/network_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>

#include "blocks/architectures/dit_options.hpp"
#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "trainer/export/loader_source.hpp"
#include "trainer/export/reference_batch.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/version.hpp"
#include "trainer/support/whole_file.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_name = "blocktrain-dit";
constexpr const char* format_version = "1";

/// Width of the noise features, which no key of the config chooses.
std::int64_t noise_features(const blocks::Block& block) {
  for (const blocks::Parameter& p : block.parameters()) {
    if (p.name.ends_with(".noise_embedding.input.weight")) return p.shape.at(1);
  }
  throw RunError("the network has no noise embedding");
}

std::vector<NamedTensor> parameters(const TrainedNetwork& network) {
  std::vector<NamedTensor> all;
  for (int b = 0; b < network.blocks(); ++b) {
    for (const blocks::Parameter& p : network.block(b).parameters()) {
      all.push_back({p.name, blocks::view_of(network.parameters(b), p)});
    }
  }
  return all;
}

bool is_ours(const fs::path& file) {
  const Metadata metadata = read_safetensors_metadata(file.string());
  const auto found = metadata.find("format");
  return found != metadata.end() && found->second == format_name;
}

void require_replaceable(const fs::path& folder) {
  for (const char* name : {model_file, reference_file, loader_file}) {
    require_writable((folder / name).string(), "--out", name == loader_file ? loader_kind() : weights_kind());
  }
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
  const auto& options = config.architecture.as<blocks::DitOptions>();
  const std::vector<std::int64_t>& shape = network.data().layout.field("image").shape;
  std::vector<int> layers;
  for (int b = 0; b < network.blocks(); ++b) layers.push_back(network.block(b).place().layers);
  return {{"format", format_name},
          {"format_version", format_version},
          {"blocktrain", version()},
          {"architecture", config.model.architecture},
          {"image_channels", fmt::format("{}", shape[0])},
          {"image_height", fmt::format("{}", shape[1])},
          {"image_width", fmt::format("{}", shape[2])},
          {"classes", fmt::format("{}", network.data().layout.classes)},
          {"patch", fmt::format("{}", options.patch)},
          {"width", fmt::format("{}", config.model.width)},
          {"heads", fmt::format("{}", config.model.heads)},
          {"mlp_ratio", fmt::format("{}", options.mlp_ratio)},
          {"noise_features", fmt::format("{}", noise_features(network.block(0)))},
          {"layers_per_block", join(layers, ",")},
          {"training", std::string(name_of(config.blocks.training))},
          {"partition", std::string(name_of(config.noise.partition))},
          {"p_mean", fmt::format("{}", config.noise.p_mean)},
          {"p_std", fmt::format("{}", config.noise.p_std)},
          {"sigma_edges", join(noise_schedule(config).edges(), ",")},
          {"sigma_data", fmt::format("{}", config.noise.sigma_data)},
          {"target_deviation", fmt::format("{}", network.data().deviation)},
          {"experiment", network.experiment()},
          {"weights", network.weights_are_averages() ? "average" : "last"},
          {"steps", join(network.steps(), ",")}};
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

  ExportedFolder result;
  const auto write = [&](const char* name, const std::function<void(WholeFile&)>& content) {
    const fs::path path = fs::path(folder) / name;
    std::error_code ignored;
    const bool replaced = fs::exists(path, ignored);
    WholeFile file(path.string(), "--out", name == loader_file ? loader_kind() : weights_kind());
    content(file);
    file.commit();
    result.files.push_back({name, fs::file_size(path), replaced});
  };
  // First, for it tells an earlier export apart from other folders, also when the rest cannot be written.
  write(model_file, [&](WholeFile& file) { write_safetensors(file, parameters(network), network_metadata(network)); });
  if (weights_only) {
    const fs::path reference = fs::path(folder) / reference_file;
    if (is_ours(reference) && fs::remove(reference, error)) result.removed = reference_file;
    return result;
  }
  write(reference_file, [&](WholeFile& file) {
    write_safetensors(file, ReferenceBatch(network).tensors(),
                      {{"format", format_name},
                       {"format_version", format_version},
                       {"guidance", fmt::format("{}", ReferenceBatch::guidance())},
                       {"steps", fmt::format("{}", ReferenceBatch::steps())}});
  });
  write(loader_file, [](WholeFile& file) { file.write(loader_source()); });
  return result;
}

}  // namespace blocktrain::trainer
