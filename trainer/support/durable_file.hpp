#pragma once
/// A file that either appears whole under its name and stays there through a power cut, or not at all:
/// written aside, synced, renamed, and the folder synced.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "kernels/error.hpp"
#include "trainer/support/atomic_file.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {

class DurableFile {
 public:
  /// Starts FOLDER/.NAME.tmp-RANK (RANK of process_rank()) and reserves its `bytes` where the file system can, so that
  /// a full disk shows before anything is written. A leftover of that name from a crash is replaced. Throws RunError
  /// naming the file, the space needed and the space available.
  DurableFile(std::filesystem::path target, std::uint64_t bytes);
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  /// Appends. Throws RunError as above.
  void write(std::span<const std::byte> data);
  /// Makes the file durable under its name, replacing what had that name; all `bytes` have to be written.
  /// Returns the SHA-256 of what was written. Throws RunError.
  std::string commit();

  /// Name of the file aside for a target's name and a rank.
  static std::string aside_name(const std::string& name, int rank);
  /// Whether `name` is such a name, of any rank; `target` gets the target's name.
  static bool is_aside_name(const std::string& name, std::string& target);

 private:
  /// The error to throw when `doing` this file ended in errno `error`.
  RunError failure(const char* doing, int error) const;

  AtomicFile file_;  ///< removes what commit() has not named
  std::uint64_t bytes_;
  std::uint64_t written_ = 0;
  Sha256 digest_;
};

}  // namespace blocktrain::trainer
