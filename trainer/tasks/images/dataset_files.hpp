#pragma once
/// Which files of a folder make up a data set, told by their names alone.

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "trainer/data/data_absent.hpp"
#include "trainer/tasks/images/data_format.hpp"

namespace blocktrain::trainer {

/// The names in a data folder.
struct FolderListing {
  std::string where;            ///< the folder, as messages name it
  std::set<std::string> files;  ///< all that are no folders and no symbolic links
  std::set<std::string> links;  ///< symbolic links, which are not followed
};

/// Lists `folder`, which may itself be a symbolic link. Throws DataAbsent when it does not exist, InputError when it is
/// no folder or cannot be listed.
FolderListing list_data_folder(const std::filesystem::path& folder);

/// The files of one split: those with the images, and with the labels where the format keeps those apart.
struct SplitFiles {
  std::vector<std::string> images, labels;
  std::vector<std::string> skipped_links;  ///< symbolic links that have the name of a file of this split
  bool empty() const { return images.empty(); }
};

struct DatasetFiles {
  DataFormat format = DataFormat::automatic;  ///< never `automatic` once chosen
  SplitFiles train, heldout;                  ///< no held-out files: those images are cut from the training ones
};

/// Chooses the files of a data set of `format`, for `automatic` of the one whose training files are there; of a plain
/// and a packed file the plain one. Throws DataAbsent when no training file is there, InputError when some are missing
/// or the folder holds data of several kinds.
DatasetFiles choose_files(const FolderListing& folder, DataFormat format);

/// "skipped a, b, which are symbolic links: ..." with what to do, for a message; empty without any.
std::string skipped_in_words(const std::vector<std::string>& links);

}  // namespace blocktrain::trainer
