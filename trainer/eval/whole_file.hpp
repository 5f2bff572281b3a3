#pragma once
/// A file for the user: it appears whole under its name or not at all.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace blocktrain::trainer {

/// Throws InputError, naming `what` (the option or key that chose it), when a file could not be written at `path`: its
/// folder is missing or refuses, or something other than a file has that name. Creates nothing; for asking before
/// long work.
void require_writable(const std::string& path, const std::string& what);

/// Writes aside (FOLDER/.NAME.tmp) and renames.
class WholeFile {
 public:
  /// Throws InputError as require_writable.
  WholeFile(std::string path, const std::string& what);
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  /// Removes what commit() has not named.
  ~WholeFile();

  /// Appends. Throws RunError when the system refuses.
  void write(std::span<const std::byte> data);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Gives the file its name, replacing what had it. Throws RunError.
  void commit();

 private:
  [[noreturn]] void fail(const char* doing) const;

  std::string path_, aside_;
  int descriptor_ = -1;
};

}  // namespace blocktrain::trainer
