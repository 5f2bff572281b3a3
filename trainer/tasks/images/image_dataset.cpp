#include "trainer/tasks/images/image_dataset.hpp"

#include <algorithm>

#include "kernels/error.hpp"
#include "trainer/tasks/images/dataset_reader.hpp"

namespace blocktrain::trainer {

ImageDataset ImageDataset::assemble(const std::string& where, const std::set<std::string>& names, DataFormat format,
                                    const OpenFile& open_file) {
  const FolderListing folder{where, names, {}};
  return DatasetReader(folder, format, open_file).read();
}

ImageDataset ImageDataset::open(const std::filesystem::path& path, DataFormat format) {
  const FolderListing folder = list_data_folder(path);
  const OpenFile open_file = [&](const std::string& name) { return MappedBytes::of_file(path / name); };
  return DatasetReader(folder, format, open_file).read();
}

void ImageDataset::require_unchanged() const {
  for (const MappedBytes& file : files_) file.check_unchanged();
}

std::vector<std::string> ImageDataset::touched() const {
  std::vector<std::string> notes;
  for (const MappedBytes& file : files_) {
    if (auto note = file.touched()) notes.push_back(std::move(*note));
  }
  return notes;
}

std::uint64_t ImageDataset::decoded_bytes() const {
  std::uint64_t sum = 0;
  for (const MappedBytes& f : files_) sum += f.is_anonymous() ? f.size() : 0;
  return sum;
}

std::string ImageDataset::summary() const {
  std::string text = std::string(name_of(format_)) + ": " + std::to_string(train_.count) + " training and " +
                     std::to_string(heldout_.count) + " held-out images of " + to_string(shape_) + ", " +
                     std::to_string(classes_) + " classes";
  if (heldout_is_cut_) text += "; held out: the last 5% of the training images";
  if (links_skipped_ > 0) text += "; symbolic links skipped: " + std::to_string(links_skipped_);
  return text;
}

const ImageSegment& ImageDataset::Part::locate(std::int64_t& index) const {
  BLOCKTRAIN_EXPECTS(index >= 0 && index < count);
  std::size_t k = 0;
  while (index >= segments[k].count) index -= segments[k++].count;
  return segments[k];
}

const std::uint8_t* ImageDataset::image(Split split, std::int64_t index) const {
  const ImageSegment& s = part(split).locate(index);
  return s.images + index * s.image_stride;
}

std::int32_t ImageDataset::label(Split split, std::int64_t index) const {
  const ImageSegment& s = part(split).locate(index);
  const std::int32_t label = s.labels[index * s.label_stride];
  if (label >= classes_) {
    // It was checked, so the file is not what it was; and nobody looks up a class that there is not.
    require_unchanged();
    throw RunError("a label of the data set changed to " + std::to_string(label) + " while it was in use");
  }
  return label;
}

std::vector<std::span<const std::uint8_t>> ImageDataset::decoded_files() const {
  std::vector<std::span<const std::uint8_t>> all;
  for (const MappedBytes& f : files_) all.push_back(f.bytes());
  return all;
}

}  // namespace blocktrain::trainer
