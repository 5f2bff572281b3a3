#pragma once
/// The manifest: which block files count.
///
/// RUN/checkpoints/manifest.json, and the one before it as manifest.previous.json. Format "blocktrain-manifest",
/// version 2 or 3, JSON as written by this file:
///
///   {
///     "format": "blocktrain-manifest",
///     "version": 2,
///     "experiment": "<identity of the experiment, hex>",
///     "keys": {"seed": "0", "data.batch": "128", ...},
///     "blocks": [
///       {"block": 0, "files": [{"name": "block-0000.step-00000010.h5", "step": 10, "bytes": 1234, "sha256": "<hex>"}]}
///     ],
///     "sha256": "<hex>"
///   }
///
/// One entry per block in order, its files newest first, one per step. The last member, on a line of its own followed
/// by
/// "}", is the SHA-256 of every byte before that line, so damage and edits are noticed. Names are those of
/// block_file_name(block, step), which leaves no way out of the folder.
///
/// "experiment" is the identity that the run got when it was started; its block files carry it too. "keys" are the keys
/// that count for it, with their values as YAML (trainer/config/experiment.hpp): by them a config is compared, so that
/// a refusal names what differs. {} where they are not known.
///
/// A manifest with "information" is of version 3: a list of numbers behind the keys, by which the noise range was cut
/// into blocks (blocks::NoiseSettings::information). It was computed when the run was started, and never is again.
///
/// Version 1 has no "keys", and stays readable: the keys of such a run are those of its config.yaml.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/checkpoint/commit.hpp"
#include "trainer/config/experiment.hpp"

namespace blocktrain::trainer {

inline constexpr int manifest_version = 3;  ///< the newest that is read
inline constexpr const char* manifest_name = "manifest.json";
inline constexpr const char* previous_manifest_name = "manifest.previous.json";

struct Manifest {
  Experiment experiment;                           ///< keys have names and values alone
  std::vector<std::vector<CommittedFile>> blocks;  ///< by block; newest first
  std::vector<double> information{};               ///< what the partition follows from; empty: from the keys alone

  bool operator==(const Manifest&) const = default;
};

/// The manifest as text, its digest included.
std::string to_text(const Manifest& manifest);

/// The reverse. Throws InputError naming `origin` (the file), what was found and what is accepted: damage, another
/// format, a later version, anything outside the limits above. Never reads or opens what it names.
Manifest parse_manifest(std::string_view text, const std::string& origin);

/// A manifest that was found on disk.
struct LoadedManifest {
  Manifest manifest;
  std::string text;                   ///< as it stood on disk
  std::vector<std::string> warnings;  ///< sentences for the user: why manifest.previous.json had to do
};

/// Loads RUN/checkpoints/manifest.json, or manifest.previous.json when the first is damaged (its digest is wrong) or
/// missing, and checks that it is of `experiment`, by its identity or its keys, with `blocks` blocks. `recorded` is the
/// experiment of RUN/config.yaml: the keys of a manifest of version 1 are taken from there, if its identity is that of
/// the manifest. Nullopt when there is no manifest and no block file: nothing was ever saved. Throws InputError:
/// neither is usable; both are missing beside block files; another experiment (what differs is named); a later version
/// or impossible contents under a right digest; a link instead of a file or folder.
std::optional<LoadedManifest> load_manifest(const std::filesystem::path& run_directory, const Experiment& experiment,
                                            int blocks, const Experiment& recorded = {});

}  // namespace blocktrain::trainer
