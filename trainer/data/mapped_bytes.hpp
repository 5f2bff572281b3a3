#pragma once
/// The bytes of a data file: either the file itself, memory-mapped read-only, or memory of our own that a
/// compressed file was decoded into.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "trainer/data/file_watch.hpp"

namespace blocktrain::trainer {

/// Owner of one mapping. The address of the bytes does not change when the owner is moved.
class MappedBytes {
 public:
  /// Maps a file read-only. Symbolic links are not followed.
  /// Throws InputError when it is missing, unreadable, empty, or no regular file; RunError when mapping fails.
  /// A file that another program shortens or writes to later is found by check_unchanged().
  static MappedBytes of_file(const std::filesystem::path& path);
  /// `size` zeroed bytes of own memory, writable until seal(). Throws RunError when the system refuses.
  static MappedBytes anonymous(std::size_t size);

  MappedBytes() = default;
  MappedBytes(MappedBytes&& other) noexcept { *this = static_cast<MappedBytes&&>(other); }
  MappedBytes& operator=(MappedBytes&& other) noexcept;
  MappedBytes(const MappedBytes&) = delete;
  MappedBytes& operator=(const MappedBytes&) = delete;
  ~MappedBytes();

  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  std::size_t size() const { return size_; }
  /// True for own memory: what these bytes cost in RAM. A mapped file's pages belong to the page cache.
  bool is_anonymous() const { return anonymous_; }

  /// A mapped file only, for own memory do nothing: FileWatch::remember(), check() and touched(). What was read of the
  /// bytes counts once a later check_unchanged() did not throw.
  void remember() const;
  void check_unchanged() const;
  std::optional<std::string> touched() const;

  /// Own memory only: the bytes to write to.
  std::span<std::uint8_t> writable();
  /// Own memory only: grows (with zeros) or shrinks; the address may change.
  void resize(std::size_t size);
  /// Own memory only: read-only from now on.
  void seal();

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  bool anonymous_ = false;
  bool sealed_ = false;
  std::unique_ptr<FileWatch> watch_;  // of a mapped file
};

}  // namespace blocktrain::trainer
