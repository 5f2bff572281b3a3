#pragma once
/// A labelled image data set in memory, read-only, in two splits.
///
/// A folder (data.path) holds one of, each file plain (memory-mapped) or compressed (decoded once into memory):
///   idx       train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-idx3-ubyte[.gz],
///             t10k-labels-idx1-ubyte[.gz] (MNIST, Fashion-MNIST, the digits); images may be idx4 too
///   cifar10   data_batch_1.bin[.xz] .. data_batch_5.bin[.xz], test_batch.bin[.xz]
///   cifar100  train.bin[.xz], test.bin[.xz]
/// Where a file is there both plain and compressed, the plain one is read. Symbolic links inside the folder are
/// not followed, and named in notes() where they have the name of a data file; the folder itself may be one. Without a
/// file for it, the held-out split is the last 5% of the training images (at least one).
///
/// Classes: 10 and 100 for CIFAR (the fine label of CIFAR-100), else the largest training label + 1.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/data/mapped_bytes.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/tasks/images/data_format.hpp"
#include "trainer/tasks/images/image_source.hpp"

namespace blocktrain::trainer {

class ImageDataset {
 public:
  /// Reads the data set in the folder `path`. Throws InputError naming the file, what was found and what is expected:
  /// nothing there, unreadable, of two kinds, damaged, truncated, trailing bytes, labels out of range, counts that
  /// differ. RunError when a file changes meanwhile.
  static ImageDataset open(const std::filesystem::path& path, DataFormat format = DataFormat::automatic);

  /// The bytes of the file of that name, as they are on disk.
  using OpenFile = std::function<MappedBytes(const std::string& name)>;
  /// What open() does once it knows the names of the folder's files. `where` stands in messages before the names.
  static ImageDataset assemble(const std::string& where, const std::set<std::string>& names, DataFormat format,
                               const OpenFile& open_file);

  /// Never `automatic`.
  DataFormat format() const { return format_; }
  const ImageShape& shape() const { return shape_; }
  std::int32_t classes() const { return classes_; }
  std::int64_t count(Split split) const { return part(split).count; }
  /// True when the held-out images were cut from the training file.
  bool heldout_is_cut() const { return heldout_is_cut_; }
  /// Symbolic links that were skipped in the folder.
  std::int64_t links_skipped() const { return links_skipped_; }
  /// Sentences for people about what was skipped though it has the name of a data file.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Looks whether the mapped files are still what they were when they were opened: what was read of them before counts
  /// once this did not throw. Throws RunError that names the file. Costs a system call per file and no memory; any
  /// thread may call.
  void require_unchanged() const;
  /// Sentences about files that this found merely touched (a new time of modification), once for each time.
  std::vector<std::string> touched() const;
  /// Memory taken by decoded files.
  std::uint64_t decoded_bytes() const;
  /// One line for people: format, counts, shape, classes, what was skipped or cut.
  std::string summary() const;

  /// The shape().size() pixels of image `index`; index in [0, count(split)).
  const std::uint8_t* image(Split split, std::int64_t index) const;
  /// Its class, in [0, classes()). Throws RunError when the file was changed so that it is not.
  std::int32_t label(Split split, std::int64_t index) const;

  /// The decoded bytes of the files read, in the order train (images, labels), held-out; for digests.
  std::vector<std::span<const std::uint8_t>> decoded_files() const;

 private:
  struct Part {
    std::vector<ImageSegment> segments;
    std::int64_t count = 0;
    const ImageSegment& locate(std::int64_t& index) const;
  };
  const Part& part(Split split) const { return split == Split::train ? train_ : heldout_; }

  DataFormat format_ = DataFormat::automatic;
  ImageShape shape_;
  std::int32_t classes_ = 0;
  Part train_, heldout_;
  bool heldout_is_cut_ = false;
  std::int64_t links_skipped_ = 0;
  std::vector<std::string> notes_;
  std::vector<MappedBytes> files_;  // what the segments point into

  friend class DatasetReader;
};

}  // namespace blocktrain::trainer
