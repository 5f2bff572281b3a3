#include "trainer/tasks/images/dataset_reader.hpp"

#include <algorithm>

#include "kernels/error.hpp"
#include "trainer/data/decode.hpp"
#include "trainer/data/xz_size.hpp"

namespace blocktrain::trainer {
namespace {

/// What `decode` makes of a packed file. Zeros are read where the file goes away meanwhile, and what is said of those
/// would mislead.
template <class Decode>
MappedBytes decoded(const MappedBytes& packed, const Decode& decode) {
  try {
    MappedBytes bytes = decode();
    packed.check_unchanged();
    return bytes;
  } catch (const InputError&) {
    packed.check_unchanged();
    throw;
  }
}

}  // namespace

DatasetReader::DatasetReader(const FolderListing& folder, DataFormat format, const ImageDataset::OpenFile& open_file)
    : folder_(folder), open_file_(open_file), files_(choose_files(folder, format)) {}

ImageDataset DatasetReader::read() {
  read_files(Depth::all);
  if (files_.format != DataFormat::idx) {
    check_labels(files_.train.images, data_.train_);
    check_labels(files_.heldout.images, data_.heldout_);
  }
  if (data_.heldout_.count == 0) {
    const std::int64_t all = data_.train_.count, held = cut_count();
    data_.heldout_ = {slice(data_.train_.segments, all - held, all), held};
    data_.train_ = {slice(data_.train_.segments, 0, all - held), all - held};
    data_.heldout_is_cut_ = true;
  }
  data_.links_skipped_ = static_cast<std::int64_t>(folder_.links.size());
  data_.notes_ = notes();
  // From here on what is read is compared with what was checked.
  for (const MappedBytes& file : data_.files_) file.remember();
  data_.require_unchanged();
  return std::move(data_);
}

DataProbe DatasetReader::probe() {
  read_files(Depth::sizes);
  DataProbe probe;
  probe.shape = {data_.shape_.channels, data_.shape_.height, data_.shape_.width, data_.classes_};
  probe.heldout_is_cut = data_.heldout_.count == 0;
  if (probe.heldout_is_cut) {
    probe.heldout_images = cut_count();
    data_.heldout_is_cut_ = true;
    data_.heldout_.count = probe.heldout_images;
  }
  probe.training_images = data_.train_.count - (probe.heldout_is_cut ? probe.heldout_images : 0);
  if (!probe.heldout_is_cut) probe.heldout_images = data_.heldout_.count;
  probe.contents_unread = !unpacked_all_ || files_.format != DataFormat::idx;
  probe.notes = notes();
  return probe;
}

void DatasetReader::read_files(Depth depth) {
  data_.format_ = files_.format;
  switch (files_.format) {
    case DataFormat::idx:
      return read_idx(depth);
    case DataFormat::cifar10:
      return read_cifar(cifar10_layout, depth);
    default:
      return read_cifar(cifar100_layout, depth);
  }
}

std::vector<std::string> DatasetReader::notes() const {
  std::vector<std::string> links = files_.train.skipped_links;
  links.insert(links.end(), files_.heldout.skipped_links.begin(), files_.heldout.skipped_links.end());
  if (links.empty()) return {};
  std::string note = "data folder " + folder_.where + ": " + skipped_in_words(links);
  if (data_.heldout_is_cut_ && !files_.heldout.skipped_links.empty()) {
    note += "; instead of them the last " + std::to_string(data_.heldout_.count) +
            " training images (5%) are held out, and not trained on";
  }
  return {note};
}

std::span<const std::uint8_t> DatasetReader::keep(MappedBytes bytes) {
  data_.files_.push_back(std::move(bytes));
  return data_.files_.back().bytes();
}

std::pair<std::span<const std::uint8_t>, IdxHeader> DatasetReader::open_idx(const std::string& name, IdxKind kind,
                                                                            Depth depth) {
  MappedBytes bytes = open_file_(name);
  if (const Codec codec = codec_of(name); codec != Codec::none) {
    const std::span<const std::uint8_t> packed = bytes.bytes();
    if (depth == Depth::sizes && kind == IdxKind::images) {
      unpacked_all_ = false;
      return {{}, parse_idx_header(decode_start(codec, packed, path(name), idx_longest_header), path(name), kind)};
    }
    bytes = decoded(bytes, [&] {
      return decode_sized(codec, packed, path(name), idx_longest_header,
                          [&](auto header) { return parse_idx_header(header, path(name), kind).total_bytes; });
    });
  }
  const IdxHeader header = parse_idx_file(bytes.bytes(), path(name), kind);
  return {keep(std::move(bytes)), header};
}

void DatasetReader::add_idx(ImageDataset::Part& part, const SplitFiles& files, Depth depth) {
  const std::string &images_name = files.images.front(), &labels_name = files.labels.front();
  const auto [images, header] = open_idx(images_name, IdxKind::images, depth);
  const auto [labels, label_header] = open_idx(labels_name, IdxKind::labels, depth);
  if (header.count != label_header.count) {
    throw InputError("data folder " + folder_.where + ": " + images_name + " holds " + std::to_string(header.count) +
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
  part.segments.push_back({images.empty() ? nullptr : images.data() + header.header_bytes, header.shape.size(),
                           labels.data() + label_header.header_bytes, 1, header.count});
  part.count = header.count;
}

void DatasetReader::read_idx(Depth depth) {
  add_idx(data_.train_, files_.train, depth);
  const ImageSegment& s = data_.train_.segments.front();
  data_.classes_ = *std::max_element(s.labels, s.labels + s.count) + 1;
  if (!files_.heldout.empty()) add_idx(data_.heldout_, files_.heldout, depth);
  check_labels(files_.train.labels, data_.train_);
  check_labels(files_.heldout.labels, data_.heldout_);
}

void DatasetReader::add_cifar(ImageDataset::Part& part, const std::string& name, const CifarLayout& layout,
                              Depth depth) {
  MappedBytes bytes = open_file_(name);
  const Codec codec = codec_of(name);
  ImageSegment segment;
  if (depth == Depth::sizes) {
    if (codec != Codec::none) unpacked_all_ = false;
    const std::uint64_t size = codec == Codec::none ? bytes.size() : xz_decoded_size(bytes.bytes(), path(name));
    segment.count = count_cifar_images(size, path(name), layout);
  } else {
    if (codec != Codec::none) {
      bytes = decoded(bytes, [&] { return decode_unsized(codec, bytes.bytes(), path(name)); });
    }
    segment = parse_cifar_file(keep(std::move(bytes)), path(name), layout);
  }
  part.segments.push_back(segment);
  part.count += segment.count;
  if (part.count > most_images) {
    throw InputError("data folder " + folder_.where + ": holds " + std::to_string(part.count) +
                     " images, accepted are up to " + std::to_string(most_images) + "; split the data set");
  }
}

void DatasetReader::read_cifar(const CifarLayout& layout, Depth depth) {
  data_.shape_ = cifar_shape;
  data_.classes_ = layout.classes;
  for (const std::string& name : files_.train.images) add_cifar(data_.train_, name, layout, depth);
  for (const std::string& name : files_.heldout.images) add_cifar(data_.heldout_, name, layout, depth);
}

/// `names` are those of the files with the labels of part.segments.
void DatasetReader::check_labels(const std::vector<std::string>& names, const ImageDataset::Part& part) const {
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

std::int64_t DatasetReader::cut_count() const {
  const std::int64_t all = data_.train_.count;
  if (all < 2) {
    throw InputError("data folder " + folder_.where +
                     ": holds one training image and nothing held out, expected at least "
                     "two images (the last 5% are held out where no file is); add images");
  }
  return std::max<std::int64_t>(1, all / 20);
}

}  // namespace blocktrain::trainer
