#pragma once
/// The unit of commit: one block file, written by the rank that owns the block into a folder that all ranks see.
/// It counts once the manifest names it (manifest_writer.hpp).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "trainer/checkpoint/block_file.hpp"

namespace blocktrain::trainer {

/// A durable block file: what its owner reports to the coordinator, and what the manifest keeps.
struct CommittedFile {
  std::string name;  ///< block_file_name(block, step), inside the checkpoints folder
  int block = 0;
  std::int64_t step = 0;
  std::uint64_t bytes = 0;
  std::string sha256;  ///< hex

  bool operator==(const CommittedFile&) const = default;
};

/// RUN/checkpoints.
std::filesystem::path checkpoints_folder(const std::filesystem::path& run_directory);

/// Whether RUN/checkpoints is there. Throws InputError when something else has that name, a symbolic link too:
/// files get cleaned up in there.
bool has_checkpoints_folder(const std::filesystem::path& run_directory);

/// Makes RUN/checkpoints when it is not there, durably. Throws InputError as has_checkpoints_folder, RunError when the
/// system refuses.
void create_checkpoints_folder(const std::filesystem::path& run_directory);

/// Writes a block's state as RUN/checkpoints/block-BBBB.step-SSSSSSSS.h5: aside, synced, renamed, folder synced. Any
/// thread of any rank may call; for one block, one at a time. The folder has to exist. Takes no memory worth planning:
/// the numbers go from `tensors` to the file. Throws RunError (see write_block_file); then no file aside is left, and
/// older checkpoints are as they were.
CommittedFile commit_block(const std::filesystem::path& run_directory, const BlockFileHeader& header,
                           std::span<const blocks::Parameter> parameters, const BlockTensors<const float>& tensors);

/// Compares a committed file with its digest, read from the disk rather than from memory where the system allows.
/// Nullopt: it is as committed. Else a phrase that says what is wrong ("is missing", "has 10 bytes instead of 20").
/// Throws InputError when its name is no block file's or it is a symbolic link, a folder or a device.
std::optional<std::string> find_damage(const std::filesystem::path& folder, const CommittedFile& file);

}  // namespace blocktrain::trainer
