#include "trainer/checkpoint/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "trainer/checkpoint/block_values.hpp"
#include "trainer/support/file_system.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t longest_manifest = std::size_t{64} << 20;
constexpr std::size_t deepest_manifest = 8;
constexpr std::size_t most_keys = 4096, most_information = 4096;
constexpr std::uint64_t largest_file = std::uint64_t{1} << 50;
constexpr std::string_view digest_begin = "  \"sha256\": \"", digest_end = "\"\n}\n";
constexpr std::size_t digest_tail = digest_begin.size() + 64 + digest_end.size();

/// The file is not as it was written, so the one before it may do.
class DamagedManifest : public InputError {
 public:
  using InputError::InputError;
};

std::string with_digest(std::string body) {
  const std::string digest = sha256_hex(body);
  body.append(digest_begin).append(digest).append(digest_end);
  return body;
}

/// Checks a manifest member by member; `refuse` speaks for the file.
class ManifestReader {
 public:
  explicit ManifestReader(const std::string& origin) : origin_(origin) {}

  [[noreturn]] void refuse(const std::string& what) const { throw InputError(origin_ + ": " + what); }

  void require_digest(std::string_view text) const;
  Json parse(std::string_view text) const;
  Manifest read(const Json& root) const;

 private:
  void require_members(const Json& object, std::initializer_list<const char*> names, const std::string& where) const;
  std::uint64_t read_number(const Json& object, const char* name, std::uint64_t largest,
                            const std::string& where) const;
  std::string read_string(const Json& object, const char* name, const std::string& where) const;
  CommittedFile read_file(const Json& object, int block, const std::string& where) const;
  std::vector<ExperimentKey> read_keys(const Json& root) const;
  std::vector<double> read_information(const Json& root) const;

  [[noreturn]] void damaged(const std::string& what) const { throw DamagedManifest(origin_ + ": " + what); }

  std::string origin_;
};

void ManifestReader::require_digest(std::string_view text) const {
  if (text.size() > longest_manifest)
    damaged(fmt::format("has {} bytes; no manifest has more than {}", text.size(), longest_manifest));
  const std::string_view tail = text.substr(text.size() - std::min(text.size(), digest_tail));
  if (tail.size() != digest_tail || !tail.starts_with(digest_begin) || !tail.ends_with(digest_end)) {
    damaged("does not end in its SHA-256: it was cut or changed");
  }
  const std::string found = sha256_hex(text.substr(0, text.size() - digest_tail));
  const std::string_view named = tail.substr(digest_begin.size(), 64);
  if (found != named)
    damaged(fmt::format("was changed after it was written: its SHA-256 is {}, it says {}", found, printable(named)));
}

Json ManifestReader::parse(std::string_view text) const {
  std::vector<std::set<std::string>> keys;  // of the objects and arrays that are open
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      keys.emplace_back();
      if (keys.size() > deepest_manifest) refuse(fmt::format("is nested deeper than {} levels", deepest_manifest));
    } else if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      refuse("has \"" + printable(value.get<std::string>()) + "\" twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    refuse("is not JSON: " + printable(error.what()));
  }
}

void ManifestReader::require_members(const Json& object, std::initializer_list<const char*> names,
                                     const std::string& where) const {
  if (!object.is_object()) refuse(where + " is not an object");
  for (const char* name : names) {
    if (!object.contains(name)) refuse(fmt::format("{} has no \"{}\"", where, name));
  }
  for (const auto& item : object.items()) {
    if (std::ranges::none_of(names, [&](const char* n) { return item.key() == n; })) {
      refuse(fmt::format("{} has \"{}\", which its version does not know", where, printable(item.key())));
    }
  }
}

std::uint64_t ManifestReader::read_number(const Json& object, const char* name, std::uint64_t largest,
                                          const std::string& where) const {
  const Json& value = object.at(name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > largest) {
    refuse(fmt::format("\"{}\" of {} is not a whole number from 0 to {}", name, where, largest));
  }
  return value.get<std::uint64_t>();
}

std::string ManifestReader::read_string(const Json& object, const char* name, const std::string& where) const {
  const Json& value = object.at(name);
  if (!value.is_string()) refuse(fmt::format("\"{}\" of {} is not a string", name, where));
  return value.get<std::string>();
}

CommittedFile ManifestReader::read_file(const Json& object, int block, const std::string& where) const {
  require_members(object, {"name", "step", "bytes", "sha256"}, where);
  CommittedFile file;
  file.block = block;
  file.step = static_cast<std::int64_t>(read_number(object, "step", max_step, where));
  file.bytes = read_number(object, "bytes", largest_file, where);
  file.name = read_string(object, "name", where);
  if (const std::string wanted = block_file_name(block, file.step); file.name != wanted) {
    refuse(fmt::format("{} names \"{}\", expected \"{}\"", where, printable(file.name), wanted));
  }
  file.sha256 = read_string(object, "sha256", where);
  if (!is_sha256_hex(file.sha256)) refuse(fmt::format("\"sha256\" of {} is not 64 hex digits", where));
  return file;
}

std::vector<ExperimentKey> ManifestReader::read_keys(const Json& root) const {
  const Json& object = root.at("keys");
  if (!object.is_object() || object.size() > most_keys) {
    refuse(fmt::format("\"keys\" is not an object of at most {} keys", most_keys));
  }
  std::vector<ExperimentKey> keys;
  for (const auto& item : object.items()) {
    if (!item.value().is_string()) refuse("\"" + printable(item.key()) + "\" of \"keys\" is not a string");
    keys.push_back({item.key(), item.value().get<std::string>(), "", ""});
  }
  return keys;
}

std::vector<double> ManifestReader::read_information(const Json& root) const {
  const Json& list = root.at("information");
  if (!list.is_array() || list.size() < 2 || list.size() > most_information) {
    refuse(fmt::format("\"information\" is not a list of 2 to {} numbers", most_information));
  }
  std::vector<double> numbers;
  for (const Json& item : list) {
    const double value = item.is_number() ? item.get<double>() : -1;
    if (!(value >= 0 && std::isfinite(value)) || (!numbers.empty() && value < numbers.back())) {
      refuse("\"information\" holds other than numbers from 0 that do not fall");
    }
    numbers.push_back(value);
  }
  return numbers;
}

Manifest ManifestReader::read(const Json& root) const {
  if (!root.is_object() || !root.contains("format") || root.at("format") != "blocktrain-manifest") {
    refuse("is not a manifest: its \"format\" is not \"blocktrain-manifest\"");
  }
  if (!root.contains("version")) refuse("has no \"version\"");
  const std::uint64_t version = read_number(root, "version", UINT64_MAX, "the manifest");
  if (version < 1 || version > manifest_version) {
    refuse(fmt::format("is of version {}, and this blocktrain reads versions 1 to {}{}", version, manifest_version,
                       version > manifest_version ? ". Use the newer blocktrain that wrote it" : ""));
  }
  Manifest manifest;
  if (version == 1) {
    require_members(root, {"format", "version", "experiment", "blocks", "sha256"}, "the manifest");
  } else if (version == 2) {
    require_members(root, {"format", "version", "experiment", "keys", "blocks", "sha256"}, "the manifest");
    manifest.experiment.keys = read_keys(root);
  } else {
    require_members(root, {"format", "version", "experiment", "keys", "information", "blocks", "sha256"},
                    "the manifest");
    manifest.information = read_information(root);
    manifest.experiment.keys = read_keys(root);
  }
  manifest.experiment.identity = read_string(root, "experiment", "the manifest");
  if (!is_experiment_identity(manifest.experiment.identity)) refuse("\"experiment\" is not 1 to 128 hex digits");
  const Json& blocks = root.at("blocks");
  if (!blocks.is_array() || blocks.empty() || blocks.size() > static_cast<std::size_t>(max_blocks)) {
    refuse(fmt::format("\"blocks\" is not a list of 1 to {} blocks", max_blocks));
  }
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::string where = fmt::format("blocks[{}]", b);
    require_members(blocks[b], {"block", "files"}, where);
    if (read_number(blocks[b], "block", max_blocks, where) != b) refuse(fmt::format("{} is not block {}", where, b));
    const Json& files = blocks[b].at("files");
    if (!files.is_array()) refuse(fmt::format("\"files\" of {} is not a list", where));
    std::vector<CommittedFile>& list = manifest.blocks.emplace_back();
    for (std::size_t i = 0; i < files.size(); ++i) {
      list.push_back(read_file(files[i], static_cast<int>(b), fmt::format("{}.files[{}]", where, i)));
      if (i > 0 && list[i].step >= list[i - 1].step) {
        refuse(fmt::format("{} names step {} after step {}; files come newest first, each once", where, list[i].step,
                           list[i - 1].step));
      }
    }
  }
  return manifest;
}

/// The text of a manifest file; nullopt when there is none. Throws DamagedManifest when it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& path) {
  const std::optional<RegularFile> file = open_regular_file(path);
  if (!file) return std::nullopt;
  if (file->bytes > longest_manifest) {
    throw DamagedManifest(
        fmt::format("{}: has {} bytes; no manifest has more than {}", path.string(), file->bytes, longest_manifest));
  }
  std::string text(static_cast<std::size_t>(file->bytes), '\0');
  if (const int error = read_exactly(file->descriptor.get(), 0, std::as_writable_bytes(std::span(text))); error != 0) {
    throw DamagedManifest(path.string() + ": cannot be read: " + error_text(error));
  }
  return text;
}

bool has_block_files(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (parse_block_file_name(entry->path().filename().string())) return true;
  }
  if (error) throw RunError("cannot read the folder " + folder.string() + ": " + error.message());
  return false;
}

/// What differs between a run's experiment and the one given; both may come from files of others.
std::string differences_in_words(const Experiment& run, const Experiment& given) {
  std::vector<KeyDifference> differences = differing_keys(run, given);
  for (KeyDifference& d : differences) d = {printable(d.name), printable(d.in_run), printable(d.now)};
  return to_text(differences);
}

void require_experiment(const Manifest& manifest, const std::filesystem::path& run_directory, const std::string& origin,
                        const Experiment& given, int blocks, const Experiment& recorded) {
  const std::string config = (run_directory / "config.yaml").string();
  const Experiment& run = manifest.experiment;
  if (run.identity != given.identity) {
    // A config.yaml that was changed by hand says nothing of what the checkpoints were trained with.
    const bool recorded_is_run = !recorded.keys.empty() && recorded.identity == run.identity;
    const Experiment* known = !run.keys.empty() ? &run : recorded_is_run ? &recorded : nullptr;
    const auto count = static_cast<int>(manifest.blocks.size());
    if (known == nullptr || given.keys.empty()) {
      throw InputError(
          origin + ": belongs to experiment " + run.identity + ", and the config given is experiment " +
          given.identity +
          (count == blocks ? std::string() : fmt::format(" (it has {} blocks there, {} here)", count, blocks)) +
          ". What it was trained with was in " + config +
          ", and is in the run_start rows of the ledger: give that config, or another log.directory");
    }
    if (const std::string differences = differences_in_words(*known, given); !differences.empty()) {
      throw InputError(origin + ": belongs to another experiment than the config given. What differs:" + differences +
                       "\nGive the config that it was trained with (" + config + "), or another log.directory");
    }
  }
  if (manifest.blocks.size() != static_cast<std::size_t>(blocks)) {
    throw InputError(fmt::format("{}: is of {} blocks, and the config given has {}. See {}", origin,
                                 manifest.blocks.size(), blocks, config));
  }
}

}  // namespace

std::string to_text(const Manifest& manifest) {
  Json root;
  root["format"] = "blocktrain-manifest";
  // The oldest version that says it, so that older programs read what they can.
  root["version"] = manifest.information.empty() ? 2 : 3;
  root["experiment"] = manifest.experiment.identity;
  Json keys = Json::object();
  for (const ExperimentKey& key : manifest.experiment.keys) {
    if (key.counts()) keys[key.name] = key.value;
  }
  root["keys"] = std::move(keys);
  if (!manifest.information.empty()) root["information"] = manifest.information;
  Json blocks = Json::array();
  for (std::size_t b = 0; b < manifest.blocks.size(); ++b) {
    Json files = Json::array();
    for (const CommittedFile& file : manifest.blocks[b]) {
      files.push_back({{"name", file.name}, {"step", file.step}, {"bytes", file.bytes}, {"sha256", file.sha256}});
    }
    blocks.push_back({{"block", b}, {"files", std::move(files)}});
  }
  root["blocks"] = std::move(blocks);
  std::string body = root.dump(2);
  body.resize(body.size() - 2);  // "\n}": one more member follows
  return with_digest(body + ",\n");
}

Manifest parse_manifest(std::string_view text, const std::string& origin) {
  const ManifestReader reader(origin);
  reader.require_digest(text);
  return reader.read(reader.parse(text));
}

std::optional<LoadedManifest> load_manifest(const std::filesystem::path& run_directory, const Experiment& experiment,
                                            int blocks, const Experiment& recorded) {
  const std::filesystem::path folder = checkpoints_folder(run_directory);
  if (!has_checkpoints_folder(run_directory)) return std::nullopt;
  std::vector<std::string> reasons;
  bool missing = true;
  for (const char* name : {manifest_name, previous_manifest_name}) {
    const std::filesystem::path path = folder / name;
    LoadedManifest loaded;
    try {
      const std::optional<std::string> text = read_text(path);
      if (!text) {
        reasons.push_back(path.string() + " is missing");
        continue;
      }
      missing = false;
      loaded.text = *text;
      loaded.manifest = parse_manifest(*text, path.string());
    } catch (const DamagedManifest& error) {
      missing = false;
      reasons.push_back(error.what());
      continue;
    }
    require_experiment(loaded.manifest, run_directory, path.string(), experiment, blocks, recorded);
    for (const std::string& reason : reasons) loaded.warnings.push_back(reason + "; falling back to " + path.string());
    return loaded;
  }
  if (missing && !has_block_files(folder)) return std::nullopt;
  throw InputError(reasons[0] + "; " + reasons[1] +
                   ". Without a manifest no checkpoint counts: put back a good manifest, or move " + folder.string() +
                   " away to start from step 0");
}

}  // namespace blocktrain::trainer
