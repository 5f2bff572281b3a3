#include "trainer/checkpoint/commit.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "trainer/support/file_system.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {

std::filesystem::path checkpoints_folder(const std::filesystem::path& run_directory) {
  return run_directory / "checkpoints";
}

bool has_checkpoints_folder(const std::filesystem::path& run_directory) {
  const std::filesystem::path folder = checkpoints_folder(run_directory);
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0) {
    if (errno == ENOENT) return false;
    throw RunError("cannot inspect " + folder.string() + ": " + error_text(errno));
  }
  if (!S_ISDIR(status.st_mode)) {
    throw InputError(folder.string() + ": is not a folder" + (S_ISLNK(status.st_mode) ? " but a symbolic link" : "") +
                     ". Make it a folder; to keep checkpoints on another disk, put log.directory there");
  }
  return true;
}

void create_checkpoints_folder(const std::filesystem::path& run_directory) {
  if (has_checkpoints_folder(run_directory)) return;
  const std::filesystem::path folder = checkpoints_folder(run_directory);
  if (::mkdir(folder.c_str(), 0777) == 0) {
    sync_folder(run_directory);
  } else if (errno != EEXIST || !has_checkpoints_folder(run_directory)) {
    throw RunError("cannot create the folder " + folder.string() + ": " + error_text(errno));
  }
}

CommittedFile commit_block(const std::filesystem::path& run_directory, const BlockFileHeader& header,
                           std::span<const blocks::Parameter> parameters, const BlockTensors<const float>& tensors) {
  const std::string name = block_file_name(header.block, header.step);
  const WrittenFile written = write_block_file(checkpoints_folder(run_directory) / name, header, parameters, tensors);
  return {.name = name, .block = header.block, .step = header.step, .bytes = written.bytes, .sha256 = written.sha256};
}

std::optional<std::string> find_damage(const std::filesystem::path& folder, const CommittedFile& file) {
  // The one gate between a name that somebody wrote and the file system.
  if (file.name != block_file_name(file.block, file.step)) {
    throw InputError((folder / "manifest.json").string() + ": names \"" + printable(file.name) + "\", expected \"" +
                     block_file_name(file.block, file.step) + "\"");
  }
  const std::optional<RegularFile> opened = open_regular_file(folder / file.name);
  if (!opened) return "is missing";
  if (opened->bytes != file.bytes) return fmt::format("has {} bytes instead of {}", opened->bytes, file.bytes);
  // Dropping the cached pages is a wish: where it is not granted, memory is compared.
  ::posix_fadvise(opened->descriptor.get(), 0, 0, POSIX_FADV_DONTNEED);
  ::posix_fadvise(opened->descriptor.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 digest;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(opened->bytes, 1 << 20)));
  for (std::uint64_t at = 0; at < opened->bytes;) {
    const auto piece =
        std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), opened->bytes - at)));
    if (const int error = read_exactly(opened->descriptor.get(), at, piece); error != 0) {
      return fmt::format("cannot be read at byte {} ({})", at, error_text(error));
    }
    digest.update(piece);
    at += piece.size();
  }
  const std::string found = digest.hex();
  if (found != file.sha256) return fmt::format("has SHA-256 {} instead of {}", found, file.sha256);
  return std::nullopt;
}

}  // namespace blocktrain::trainer
