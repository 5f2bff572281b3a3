#include "trainer/tasks/images/dataset_files.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <system_error>

#include "trainer/support/text.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {
namespace {

constexpr const char* accepted_files =
    "accepted are train-images-idx3-ubyte[.gz] with train-labels-idx1-ubyte[.gz] (and t10k-...), "
    "data_batch_1.bin[.xz] to data_batch_5.bin[.xz] (and test_batch), or train.bin[.xz] (and test.bin)";

using Names = std::set<std::string>;

/// The ways to write the name of one file, best first.
using Spellings = std::vector<std::string>;

Spellings idx_images(const std::string& stem) {
  return {stem + "-images-idx3-ubyte", stem + "-images-idx4-ubyte", stem + "-images-idx3-ubyte.gz",
          stem + "-images-idx4-ubyte.gz"};
}
Spellings idx_labels(const std::string& stem) { return {stem + "-labels-idx1-ubyte", stem + "-labels-idx1-ubyte.gz"}; }
Spellings cifar(const std::string& stem) { return {stem + ".bin", stem + ".bin.xz"}; }

/// The files of a split as a format names them.
struct SplitNames {
  std::vector<Spellings> images, labels;
  std::vector<Spellings> all() const {
    std::vector<Spellings> both = images;
    both.insert(both.end(), labels.begin(), labels.end());
    return both;
  }
};

SplitNames names_of(DataFormat format, Split split) {
  const bool train = split == Split::train;
  if (format == DataFormat::idx) {
    const std::string stem = train ? "train" : "t10k";
    return {{idx_images(stem)}, {idx_labels(stem)}};
  }
  if (format == DataFormat::cifar100) return {{cifar(train ? "train" : "test")}, {}};
  if (!train) return {{cifar("test_batch")}, {}};
  SplitNames five;
  for (int i = 1; i <= 5; ++i) five.images.push_back(cifar("data_batch_" + std::to_string(i)));
  return five;
}

std::optional<std::string> find(const Names& names, const Spellings& spellings) {
  const auto there = std::ranges::find_if(spellings, [&](const std::string& s) { return names.contains(s); });
  return there == spellings.end() ? std::nullopt : std::optional(*there);
}

/// True when any file of that split is there.
bool holds_any(const Names& names, DataFormat format, Split split) {
  return std::ranges::any_of(names_of(format, split).all(),
                             [&](const Spellings& s) { return find(names, s).has_value(); });
}

std::string list(const Names& names) {
  if (names.empty()) return "it holds no files";
  constexpr int most_shown = 8;
  std::string text = "it holds ";
  int shown = 0;
  for (const std::string& name : names) {
    if (shown == most_shown) return text + ", ... (" + std::to_string(names.size()) + " files)";
    text += (shown++ == 0 ? "" : ", ") + name;
  }
  return text;
}

DataFormat detect(const FolderListing& folder) {
  std::vector<DataFormat> candidates;
  for (const DataFormat f : {DataFormat::idx, DataFormat::cifar10, DataFormat::cifar100}) {
    if (holds_any(folder.files, f, Split::train)) candidates.push_back(f);
  }
  if (candidates.size() == 1) return candidates.front();
  if (candidates.empty()) {
    throw DataAbsent("data folder " + folder.where + ": holds no training images that can be read; " +
                     list(folder.files) + "; " + accepted_files +
                     "; point data.path at the folder that holds the files themselves");
  }
  std::string found;
  for (const DataFormat f : candidates) found += (found.empty() ? "" : " and ") + std::string(name_of(f));
  throw InputError("data folder " + folder.where + ": holds data of more than one kind (" + found +
                   "); set data.format to the one to use");
}

SplitFiles choose(const FolderListing& folder, DataFormat format, Split split) {
  const bool any = holds_any(folder.files, format, split);
  if (!any && split == Split::heldout) return {};
  const auto required = [&](const Spellings& spellings) {
    if (const auto name = find(folder.files, spellings)) return *name;
    const std::string why = "data folder " + folder.where + ": the file " + spellings.front() + " (plain or as " +
                            spellings.back().substr(spellings.back().rfind('.')) + ") is missing; " +
                            list(folder.files) + "; fetch it or check data.path and data.format";
    if (!any) throw DataAbsent(why);
    throw InputError(why);
  };
  SplitFiles files;
  const SplitNames names = names_of(format, split);
  for (const Spellings& s : names.images) files.images.push_back(required(s));
  for (const Spellings& s : names.labels) files.labels.push_back(required(s));
  return files;
}

/// Those of the folder's links that would be read for a split if they were files.
std::vector<std::string> relevant_links(const Names& links, DataFormat format, Split split) {
  std::vector<std::string> relevant;
  for (const DataFormat f : {DataFormat::idx, DataFormat::cifar10, DataFormat::cifar100}) {
    if (format != DataFormat::automatic && f != format) continue;
    for (const Spellings& spellings : names_of(f, split).all()) {
      std::ranges::copy_if(spellings, std::back_inserter(relevant),
                           [&](const std::string& name) { return links.contains(name); });
    }
  }
  return relevant;
}

}  // namespace

FolderListing list_data_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  FolderListing listing;
  listing.where = folder.string();
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) {
    throw DataAbsent("data folder " + listing.where + ": does not exist; check data.path, or fetch the data set first");
  }
  if (error) {
    throw InputError("data folder " + listing.where + ": cannot be read (" + error.message() + "); check data.path");
  }
  if (!fs::is_directory(status)) {
    throw InputError("data folder " + listing.where +
                     ": is not a folder; set data.path to the folder that holds the files");
  }
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    const std::string name = entry->path().filename().string();
    if (entry->is_symlink(gone)) {
      listing.links.insert(name);
    } else if (!entry->is_directory(gone)) {
      listing.files.insert(name);
    }
  }
  if (error) {
    throw InputError("data folder " + listing.where + ": cannot be listed (" + error.message() +
                     "); make it readable for the user who runs this");
  }
  return listing;
}

DatasetFiles choose_files(const FolderListing& folder, DataFormat format) {
  DatasetFiles files;
  try {
    files.format = format == DataFormat::automatic ? detect(folder) : format;
    files.train = choose(folder, files.format, Split::train);
    files.heldout = choose(folder, files.format, Split::heldout);
  } catch (const InputError& e) {
    std::vector<std::string> links = relevant_links(folder.links, format, Split::train);
    for (std::string& more : relevant_links(folder.links, format, Split::heldout)) links.push_back(std::move(more));
    if (links.empty()) throw;
    // Something is there then, though not as it has to be: not to be taken for a folder without data.
    throw InputError(std::string(e.what()) + "; " + skipped_in_words(links));
  }
  files.train.skipped_links = relevant_links(folder.links, files.format, Split::train);
  files.heldout.skipped_links = relevant_links(folder.links, files.format, Split::heldout);
  return files;
}

std::string skipped_in_words(const std::vector<std::string>& links) {
  if (links.empty()) return "";
  return "skipped " + join(links) + (links.size() == 1 ? ", a symbolic link" : ", which are symbolic links") +
         " (those are not followed): put the files themselves there, or point data.path at the folder that they lie in";
}

}  // namespace blocktrain::trainer
