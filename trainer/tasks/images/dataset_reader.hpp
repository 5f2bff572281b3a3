#pragma once
/// Reads the files of a data set: whole, for ImageDataset, or no more than tells their sizes, for a plan.

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/tasks/images/cifar_format.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_files.hpp"
#include "trainer/tasks/images/idx_format.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer {

class DatasetReader {
 public:
  /// Chooses the files. Throws as choose_files() does. The arguments have to outlive the reader.
  DatasetReader(const FolderListing& folder, DataFormat format, const ImageDataset::OpenFile& open_file);

  /// Everything, checked to the last byte. Throws InputError as ImageDataset::open() does.
  ImageDataset read();

  /// Sizes by names, headers, the indexes of packed files, and the labels of IDX. Throws InputError as read() does for
  /// what is looked at: packed images are not unpacked, images and labels of CIFAR not read.
  DataProbe probe();

 private:
  enum class Depth : std::uint8_t { sizes, all };

  void read_files(Depth depth);
  void read_idx(Depth depth);
  void read_cifar(const CifarLayout& layout, Depth depth);
  void add_idx(ImageDataset::Part& part, const SplitFiles& files, Depth depth);
  void add_cifar(ImageDataset::Part& part, const std::string& name, const CifarLayout& layout, Depth depth);
  std::pair<std::span<const std::uint8_t>, IdxHeader> open_idx(const std::string& name, IdxKind kind, Depth depth);
  std::span<const std::uint8_t> keep(MappedBytes bytes);
  void check_labels(const std::vector<std::string>& names, const ImageDataset::Part& part) const;
  /// Images of the training files that are held out where there is no file of them.
  std::int64_t cut_count() const;
  /// Sentences about what was skipped.
  std::vector<std::string> notes() const;
  std::string path(const std::string& name) const { return folder_.where + "/" + name; }

  const FolderListing& folder_;
  const ImageDataset::OpenFile& open_file_;
  DatasetFiles files_;
  bool unpacked_all_ = true;
  ImageDataset data_;
};

}  // namespace blocktrain::trainer
