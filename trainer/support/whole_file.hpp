#pragma once
/// A file for the user: it appears whole under its name or not at all.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "trainer/support/atomic_file.hpp"

namespace blocktrain::trainer {

/// A kind of file that this program makes: a file replaces its like, an empty one, and no other.
struct FileKind {
  const char* name;  ///< "a picture that blocktrain made"
  bool (*is_one)(const std::string& path);
};

/// The first bytes of a file, at most `most`; fewer where it ends or cannot be read.
std::string beginning_of(const std::string& path, std::size_t most);

/// Throws InputError, naming `what` (the option or key that chose it), when a file of `kind` could not be written at
/// `path`: its folder is missing or refuses, or something else has that name. Creates nothing; for asking before
/// long work.
void require_writable(const std::string& path, const std::string& what, const FileKind& kind);

/// Writes aside (FOLDER/.NAME.tmp) and renames.
class WholeFile {
 public:
  /// Throws InputError as require_writable.
  WholeFile(const std::string& path, const std::string& what, const FileKind& kind);
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  /// Appends. Throws RunError when the system refuses.
  void write(std::span<const std::byte> data);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Gives the file its name, replacing what had it. Throws RunError.
  void commit();

 private:
  [[noreturn]] void fail(const char* doing, int error) const;

  AtomicFile file_;  ///< removes what commit() has not named
};

}  // namespace blocktrain::trainer
