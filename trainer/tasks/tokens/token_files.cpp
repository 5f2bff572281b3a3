#include "trainer/tasks/tokens/token_files.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string_view>
#include <system_error>
#include <utility>

#include "trainer/support/text.hpp"
#include "trainer/tasks/tokens/token_bin.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

constexpr int deepest_folder = 16;
constexpr std::size_t most_files = 1000000;

using Files = std::vector<TokenFile>;

InputError refusal(const std::string& where, const std::string& what) {
  return InputError("data path " + where + ": " + what);
}

/// "a, b, c, ... (9 of them)".
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t most_shown = 4;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), most_shown)));
  return join(shown) + (names.size() > most_shown ? fmt::format(", ... ({} of them)", names.size()) : "");
}

/// What a folder holds, and those of its folders.
struct Listing {
  Files files;                                   ///< regular, not empty
  std::vector<std::string> links, empty, other;  ///< names of what cannot be read

  std::vector<std::string> notes() const {
    std::vector<std::string> sentences;
    if (!links.empty()) sentences.push_back("symbolic links, which are not followed: " + some_of(links));
    if (!empty.empty()) sentences.push_back("empty files: " + some_of(empty));
    if (!other.empty()) sentences.push_back("neither files nor folders: " + some_of(other));
    return sentences;
  }
};

Listing list_folder(const std::string& where) {
  Listing listing;
  std::error_code error;
  fs::recursive_directory_iterator entry(where, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    const std::string name = entry->path().lexically_relative(where).generic_string();
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (entry->is_symlink(gone)) {
      listing.links.push_back(name);
    } else if (entry->is_directory(gone)) {
      if (entry.depth() < deepest_folder) continue;
      throw refusal(where, "holds folders more than " + std::to_string(deepest_folder) + " deep (" + name + ")");
    } else if (!entry->is_regular_file(gone)) {
      listing.other.push_back(name);
    } else if (const std::uintmax_t bytes = entry->file_size(gone); gone || bytes == 0) {
      listing.empty.push_back(name);
    } else {
      listing.files.push_back({entry->path(), name, bytes});
      if (listing.files.size() > most_files) {
        throw refusal(where, "holds more than " + std::to_string(most_files) +
                                 " files; put them together, with data.separator between documents");
      }
    }
  }
  if (error) {
    throw refusal(where, "cannot be listed (" + error.message() + "); make it readable for the user who runs this");
  }
  for (auto* names : {&listing.links, &listing.empty, &listing.other}) std::ranges::sort(*names);
  return listing;
}

enum class Part : std::uint8_t { unnamed, train, heldout, test };

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

/// The part that a name says, by the first of its words that says one.
Part part_of(const std::string& name) {
  std::string word;
  for (const char c : name + "/") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (is_one_of(word, {"train", "training"})) return Part::train;
    if (is_one_of(word, {"val", "valid", "validation", "dev", "heldout"})) return Part::heldout;
    if (is_one_of(word, {"test"})) return Part::test;
    word.clear();
  }
  return Part::unnamed;
}

bool is_bin(const TokenFile& file) { return file.name.ends_with(".bin"); }
bool is_txt(const TokenFile& file) { return file.name.ends_with(".txt"); }

/// Takes out of `files` those for which `chosen` does not hold, by name into `skipped`.
template <class Chosen>
void keep(Files& files, std::vector<std::string>& skipped, const Chosen& chosen) {
  const auto end = std::stable_partition(files.begin(), files.end(), chosen);
  for (auto it = end; it != files.end(); ++it) skipped.push_back(it->name);
  files.erase(end, files.end());
}

/// Of all files those that are of the format, which it chooses; what is left over goes into `skipped`.
TokenFormat choose_kind(const std::string& where, Files& files, TokenFormat format, std::vector<std::string>& skipped,
                        const OpenTokenFile& open_file) {
  const bool bins = std::ranges::any_of(files, is_bin), texts = std::ranges::any_of(files, is_txt);
  if (format == TokenFormat::automatic && bins && texts) {
    throw refusal(where,
                  "holds files of text (.txt) and files of ids (.bin); set data.format to what to use (text, "
                  "nanogpt or llmc), or data.path to one of the files");
  }
  const bool ids = is_tokenized(format) || (format == TokenFormat::automatic && bins);
  if (ids) {
    keep(files, skipped, is_bin);
    if (files.empty()) throw DataAbsent("data path " + where + ": holds no files of ids, whose names end in .bin");
    return is_tokenized(format) ? format : bin_format_of(open_file(files.front()).bytes());
  }
  if (format != TokenFormat::bytes && texts) keep(files, skipped, is_txt);
  return format == TokenFormat::bytes ? format : TokenFormat::text;
}

}  // namespace

std::uint64_t TokenFiles::bytes() const {
  std::uint64_t sum = 0;
  for (const auto* part : {&training, &heldout}) {
    for (const TokenFile& file : *part) sum += file.bytes;
  }
  return sum;
}

MappedBytes map_token_file(const TokenFile& file) { return MappedBytes::of_file(file.path); }

TokenFiles choose_token_files(const std::string& where, Files found, TokenFormat format,
                              const OpenTokenFile& open_file) {
  if (found.empty()) {
    throw DataAbsent("data path " + where + ": holds no files that could be read; accepted: files of text, or .bin");
  }
  std::ranges::sort(found, {}, &TokenFile::name);
  TokenFiles files;
  files.where = where;
  std::vector<std::string> other_kind, other_part;
  files.format = choose_kind(where, found, format, other_kind, open_file);

  const auto of_part = [](Part part) { return [part](const TokenFile& file) { return part_of(file.name) == part; }; };
  if (!std::ranges::any_of(found, of_part(Part::train))) {
    files.training = std::move(found);
  } else {
    const Part heldout = std::ranges::any_of(found, of_part(Part::heldout)) ? Part::heldout : Part::test;
    keep(found, other_part, [&](const TokenFile& f) {
      const Part part = part_of(f.name);
      return part == Part::train || part == heldout;
    });
    const auto end = std::stable_partition(found.begin(), found.end(), of_part(Part::train));
    files.heldout.assign(end, found.end());
    files.training.assign(found.begin(), end);
  }
  if (!other_kind.empty()) {
    files.notes.push_back(std::string("files that do not end in ") + (is_tokenized(files.format) ? ".bin" : ".txt") +
                          ": " + some_of(other_kind));
  }
  if (!other_part.empty()) {
    files.notes.push_back("files that are for neither training nor the held-out part by their names: " +
                          some_of(other_part));
  }
  if (is_tokenized(files.format) && files.training.size() + files.heldout.size() > most_mapped_files) {
    throw refusal(where, "holds " + std::to_string(files.training.size() + files.heldout.size()) +
                             " files of ids; accepted: at most " + std::to_string(most_mapped_files) +
                             ", put together with cat where they have no headers");
  }
  return files;
}

TokenFiles find_token_files(const std::string& path, TokenFormat format) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    throw DataAbsent("data path " + path + ": does not exist; check data.path, or fetch the data first");
  }
  if (error) throw refusal(path, "cannot be read (" + error.message() + "); check data.path");
  Listing listing;
  TokenFiles files;
  if (fs::is_directory(status)) {
    listing = list_folder(path);
    if (listing.files.empty() && !listing.links.empty()) {
      throw refusal(path, "holds symbolic links alone, which are not followed; put the files themselves there");
    }
    files = choose_token_files(path, std::move(listing.files), format, map_token_file);
  } else if (fs::is_regular_file(status)) {
    // The path may be a link, though files are opened without following any.
    const fs::path file = fs::canonical(path, error);
    const std::uintmax_t bytes = error ? 0 : fs::file_size(file, error);
    if (error) throw refusal(path, "cannot be read (" + error.message() + "); check data.path");
    if (bytes == 0) throw refusal(path, "is empty; accepted: a file of text or of ids, or a folder of them");
    files.where = path;
    files.training.push_back({file, path, bytes});
    files.format = format;
    if (format == TokenFormat::automatic) {
      files.format = is_bin(files.training.front()) ? bin_format_of(map_token_file(files.training.front()).bytes())
                                                    : TokenFormat::text;
    }
  } else {
    throw refusal(path, "is neither a file nor a folder; accepted: a file of text or of ids, or a folder of them");
  }
  std::vector<std::string> skipped = listing.notes();
  skipped.insert(skipped.end(), files.notes.begin(), files.notes.end());
  for (std::string& what : skipped) what = "data path " + path + ": skipped " + what;
  files.notes = std::move(skipped);
  return files;
}

}  // namespace blocktrain::trainer
