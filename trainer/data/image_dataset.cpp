#include "trainer/data/image_dataset.hpp"

#include <algorithm>
#include <array>
#include <system_error>

#include "kernels/error.hpp"
#include "trainer/data/cifar_format.hpp"
#include "trainer/data/decode.hpp"
#include "trainer/data/idx_format.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::array<std::string_view, 4> format_names{"auto", "idx", "cifar10", "cifar100"};
constexpr const char* accepted_files =
    "accepted are train-images-idx3-ubyte[.gz] with train-labels-idx1-ubyte[.gz] (and t10k-...), "
    "data_batch_1.bin[.xz] to data_batch_5.bin[.xz] (and test_batch), or train.bin[.xz] (and test.bin)";

using Names = std::set<std::string>;

/// The ways to write the name of one file, best first.
using Spellings = std::vector<std::string>;

Spellings idx_spellings(const std::string& stem, IdxKind kind) {
  if (kind == IdxKind::labels) return {stem + "-labels-idx1-ubyte", stem + "-labels-idx1-ubyte.gz"};
  return {stem + "-images-idx3-ubyte", stem + "-images-idx4-ubyte", stem + "-images-idx3-ubyte.gz",
          stem + "-images-idx4-ubyte.gz"};
}
Spellings cifar_spellings(const std::string& stem) { return {stem + ".bin", stem + ".bin.xz"}; }

std::optional<std::string> find(const Names& names, const Spellings& spellings) {
  const auto there = std::ranges::find_if(spellings, [&](const std::string& s) { return names.contains(s); });
  return there == spellings.end() ? std::nullopt : std::optional(*there);
}

std::array<Spellings, 5> cifar10_train() {
  std::array<Spellings, 5> files;
  for (std::size_t i = 0; i < files.size(); ++i) files[i] = cifar_spellings("data_batch_" + std::to_string(i + 1));
  return files;
}

/// True when any file of that format's training data is there.
bool looks_like(const Names& names, DataFormat format) {
  if (format == DataFormat::idx) {
    return find(names, idx_spellings("train", IdxKind::images)) || find(names, idx_spellings("train", IdxKind::labels));
  }
  if (format == DataFormat::cifar100) return find(names, cifar_spellings("train")).has_value();
  return std::ranges::any_of(cifar10_train(), [&](const Spellings& s) { return find(names, s).has_value(); });
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

}  // namespace

std::string_view to_string(DataFormat format) { return format_names[static_cast<std::size_t>(format)]; }

std::optional<DataFormat> data_format_from(std::string_view name) {
  const auto there = std::ranges::find(format_names, name);
  if (there == format_names.end()) return std::nullopt;
  return static_cast<DataFormat>(there - format_names.begin());
}

std::string_view to_string(Split split) { return split == Split::train ? "training" : "held-out"; }

/// Builds an ImageDataset from the files of one folder.
class DatasetReader {
 public:
  DatasetReader(const std::string& where, const Names& names, const ImageDataset::OpenFile& open_file)
      : where_(where), names_(names), open_file_(open_file) {}

  ImageDataset read(DataFormat format) {
    data_.format_ = format == DataFormat::automatic ? detect() : format;
    switch (data_.format_) {
      case DataFormat::idx:
        read_idx();
        break;
      case DataFormat::cifar10:
        read_cifar(cifar10_layout, cifar10_train(), cifar_spellings("test_batch"));
        break;
      default:
        read_cifar(cifar100_layout, std::array{cifar_spellings("train")}, cifar_spellings("test"));
        break;
    }
    check_labels(train_names_, data_.train_);
    check_labels(heldout_names_, data_.heldout_);
    if (data_.heldout_.count == 0) cut_heldout();
    return std::move(data_);
  }

 private:
  DataFormat detect() const {
    std::vector<DataFormat> candidates;
    for (const DataFormat f : {DataFormat::idx, DataFormat::cifar10, DataFormat::cifar100}) {
      if (looks_like(names_, f)) candidates.push_back(f);
    }
    if (candidates.size() == 1) return candidates.front();
    if (candidates.empty()) {
      throw InputError("data folder " + where_ + ": holds no training images that can be read; " + list(names_) + "; " +
                       accepted_files + "; point data.path at the folder that holds the files themselves");
    }
    std::string found;
    for (const DataFormat f : candidates) found += (found.empty() ? "" : " and ") + std::string(to_string(f));
    throw InputError("data folder " + where_ + ": holds data of more than one kind (" + found +
                     "); set data.format to the one to use");
  }

  std::string path(const std::string& name) const { return where_ + "/" + name; }

  std::string required(const Spellings& spellings) const {
    if (const auto name = find(names_, spellings)) return *name;
    throw InputError("data folder " + where_ + ": the file " + spellings.front() + " (plain or as " +
                     spellings.back().substr(spellings.back().rfind('.')) + ") is missing; " + list(names_) +
                     "; fetch it or check data.path and data.format");
  }

  /// Keeps the file for the life of the data set and returns its decoded bytes.
  std::span<const std::uint8_t> keep(MappedBytes bytes) {
    data_.files_.push_back(std::move(bytes));
    return data_.files_.back().bytes();
  }

  std::pair<std::span<const std::uint8_t>, IdxHeader> open_idx(const std::string& name, IdxKind kind) {
    MappedBytes bytes = open_file_(name);
    if (const Codec codec = codec_of(name); codec != Codec::none) {
      bytes = decode_sized(codec, bytes.bytes(), path(name), idx_longest_header,
                           [&](auto header) { return parse_idx_header(header, path(name), kind).total_bytes; });
    }
    const IdxHeader header = parse_idx_file(bytes.bytes(), path(name), kind);
    return {keep(std::move(bytes)), header};
  }

  void add_idx(ImageDataset::Part& part, std::vector<std::string>& label_names, const std::string& stem) {
    const std::string images_name = required(idx_spellings(stem, IdxKind::images));
    const std::string labels_name = required(idx_spellings(stem, IdxKind::labels));
    const auto [images, header] = open_idx(images_name, IdxKind::images);
    const auto [labels, label_header] = open_idx(labels_name, IdxKind::labels);
    if (header.count != label_header.count) {
      throw InputError("data folder " + where_ + ": " + images_name + " holds " + std::to_string(header.count) +
                       " images but " + labels_name + " " + std::to_string(label_header.count) +
                       " labels; take both from the same data set");
    }
    if (&part == &data_.train_) {
      data_.shape_ = header.shape;
    } else if (header.shape != data_.shape_) {
      throw InputError("data file " + path(images_name) + ": holds images of " + to_string(header.shape) +
                       " (channels x height x width), the training images are " + to_string(data_.shape_) +
                       "; take both from the same data set");
    }
    part.segments.push_back({images.data() + header.header_bytes, header.shape.size(),
                             labels.data() + label_header.header_bytes, 1, header.count});
    part.count = header.count;
    label_names.push_back(labels_name);
  }

  void read_idx() {
    add_idx(data_.train_, train_names_, "train");
    const auto& s = data_.train_.segments.front();
    data_.classes_ = *std::max_element(s.labels, s.labels + s.count) + 1;
    if (find(names_, idx_spellings("t10k", IdxKind::images)) || find(names_, idx_spellings("t10k", IdxKind::labels))) {
      add_idx(data_.heldout_, heldout_names_, "t10k");
    }
  }

  void add_cifar(ImageDataset::Part& part, std::vector<std::string>& names, const CifarLayout& layout,
                 const std::string& name) {
    MappedBytes bytes = open_file_(name);
    const Codec codec = codec_of(name);
    if (codec != Codec::none) bytes = decode_unsized(codec, bytes.bytes(), path(name));
    const ImageSegment segment = parse_cifar_file(keep(std::move(bytes)), path(name), layout);
    part.segments.push_back(segment);
    part.count += segment.count;
    if (part.count > most_images) {
      throw InputError("data folder " + where_ + ": holds " + std::to_string(part.count) + " images, accepted are up " +
                       "to " + std::to_string(most_images) + "; split the data set");
    }
    names.push_back(name);
  }

  void read_cifar(const CifarLayout& layout, std::span<const Spellings> train, const Spellings& heldout) {
    data_.shape_ = cifar_shape;
    data_.classes_ = layout.classes;
    for (const Spellings& s : train) add_cifar(data_.train_, train_names_, layout, required(s));
    if (const auto name = find(names_, heldout)) add_cifar(data_.heldout_, heldout_names_, layout, *name);
  }

  /// `names` are those of the files with the labels of part.segments.
  void check_labels(const std::vector<std::string>& names, const ImageDataset::Part& part) const {
    for (std::size_t k = 0; k < part.segments.size(); ++k) {
      const ImageSegment& s = part.segments[k];
      for (std::int64_t i = 0; i < s.count; ++i) {
        const std::int32_t label = s.labels[i * s.label_stride];
        if (label < data_.classes_) continue;
        throw InputError("data file " + path(names[k]) + ": image " + std::to_string(i) + " has the label " +
                         std::to_string(label) + ", expected 0 to " + std::to_string(data_.classes_ - 1) +
                         (data_.format_ == DataFormat::idx
                              ? " as in the training labels; take both from the same data set"
                              : "; the file is damaged or of another format: fetch it again "
                                "or check data.format"));
      }
    }
  }

  void cut_heldout() {
    const std::int64_t all = data_.train_.count;
    if (all < 2) {
      throw InputError("data folder " + where_ +
                       ": holds one training image and nothing held out, expected at least "
                       "two images (the last 5% are held out where no file is); add images");
    }
    const std::int64_t held = std::max<std::int64_t>(1, all / 20);
    data_.heldout_ = {slice(data_.train_.segments, all - held, all), held};
    data_.train_ = {slice(data_.train_.segments, 0, all - held), all - held};
    data_.heldout_is_cut_ = true;
  }

  const std::string& where_;
  const Names& names_;
  const ImageDataset::OpenFile& open_file_;
  std::vector<std::string> train_names_, heldout_names_;
  ImageDataset data_;
};

ImageDataset ImageDataset::assemble(const std::string& where, const std::set<std::string>& names, DataFormat format,
                                    const OpenFile& open_file) {
  return DatasetReader(where, names, open_file).read(format);
}

ImageDataset ImageDataset::open(const std::filesystem::path& folder, DataFormat format) {
  namespace fs = std::filesystem;
  const std::string where = folder.string();
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) {
    throw InputError("data folder " + where + ": does not exist; check data.path, or fetch the data set first");
  }
  if (error) throw InputError("data folder " + where + ": cannot be read (" + error.message() + "); check data.path");
  if (!fs::is_directory(status)) {
    throw InputError("data folder " + where + ": is not a folder; set data.path to the folder that holds the files");
  }
  fs::directory_iterator entry(folder, error);
  std::set<std::string> names;  // sorted, whatever order the file system has
  std::int64_t links = 0;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    if (entry->is_symlink(gone)) {
      ++links;
    } else if (!entry->is_directory(gone)) {
      names.insert(entry->path().filename().string());
    }
  }
  if (error) {
    throw InputError("data folder " + where + ": cannot be listed (" + error.message() +
                     "); make it readable for the user who runs this");
  }
  try {
    ImageDataset data =
        assemble(where, names, format, [&](const std::string& name) { return MappedBytes::of_file(folder / name); });
    data.links_skipped_ = links;
    return data;
  } catch (const InputError& e) {
    if (links == 0) throw;
    throw InputError(std::string(e.what()) +
                     " (symbolic links in the folder that were skipped: " + std::to_string(links) + ")");
  }
}

std::uint64_t ImageDataset::decoded_bytes() const {
  std::uint64_t sum = 0;
  for (const MappedBytes& f : files_) sum += f.is_anonymous() ? f.size() : 0;
  return sum;
}

std::string ImageDataset::summary() const {
  std::string text = std::string(to_string(format_)) + ": " + std::to_string(train_.count) + " training and " +
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
  return s.labels[index * s.label_stride];
}

std::vector<std::span<const std::uint8_t>> ImageDataset::decoded_files() const {
  std::vector<std::span<const std::uint8_t>> all;
  for (const MappedBytes& f : files_) all.push_back(f.bytes());
  return all;
}

}  // namespace blocktrain::trainer
