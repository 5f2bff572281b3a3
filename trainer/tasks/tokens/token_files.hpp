#pragma once
/// Which files make up data of tokens, told by their names and sizes.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "trainer/data/data_absent.hpp"
#include "trainer/data/mapped_bytes.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

struct TokenFile {
  std::filesystem::path path;
  std::string name;  ///< below the folder, or the path itself, as messages show it
  std::uint64_t bytes = 0;
};

struct TokenFiles {
  std::string where;                         ///< data.path
  TokenFormat format = TokenFormat::text;    ///< never automatic
  std::vector<TokenFile> training, heldout;  ///< by name; no held-out ones: the end of the training files is held out
  std::vector<std::string> notes;            ///< sentences about what was skipped

  std::uint64_t bytes() const;
};

/// Most files that are mapped at a time: each takes a descriptor and a mapping, of which the system gives a process
/// few.
inline constexpr std::size_t most_mapped_files = 512;

/// `path` is one file, or a folder whose files, and those of the folders in it, are read: with data.format auto those
/// that end in .bin, else in .txt, else all. Where names have the word train, those files are trained on and those of
/// the word val (valid, validation, dev, heldout) held out, or of the word test where there are none; all else is
/// skipped. Hidden files and symbolic links in the folder are not followed; the path itself may be a link. Throws
/// DataAbsent where nothing is there, InputError where what is there cannot be read or is of two kinds.
TokenFiles find_token_files(const std::string& path, TokenFormat format);

/// Opens one of the files.
using OpenTokenFile = std::function<MappedBytes(const TokenFile& file)>;
MappedBytes map_token_file(const TokenFile& file);

/// What find_token_files() does once it knows the files of a folder, all of them regular ones and none empty.
TokenFiles choose_token_files(const std::string& where, std::vector<TokenFile> found, TokenFormat format,
                              const OpenTokenFile& open_file);

}  // namespace blocktrain::trainer
