#pragma once
/// Images and their labels as a network takes them: numbers of a data set's pixels, mirrored where training asks for
/// it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/data/data_facts.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/flip.hpp"
#include "trainer/tasks/images/image_data_options.hpp"
#include "trainer/tasks/images/image_dataset.hpp"
#include "trainer/tasks/images/image_layout.hpp"

namespace blocktrain::trainer {

/// One image as the network sees it (pixels.hpp), `out` of shape().size() floats; mirrored left to right with `flip`.
/// Whether the file is still what it was is to be asked afterwards, ImageDataset::require_unchanged().
void fill_image(const ImageDataset& data, Split split, std::int64_t index, bool flip, float* out);

/// An image data set as samples.
class ImageSamples : public Samples {
 public:
  /// `path`: where they lie, as it was given. `flip`: augmented samples are mirrored left to right where is_flipped()
  /// says so (data.flip).
  ImageSamples(ImageDataset data, std::string path, bool flip)
      : data_(std::move(data)), path_(std::move(path)), flip_(flip) {}

  const ImageDataset& dataset() const { return data_; }
  DataFacts facts() const override;
  blocks::SampleLayout layout() const override { return image_layout(data_.shape(), data_.classes()); }
  std::vector<std::int64_t> class_counts() const override { return training_class_counts(data_); }
  std::int64_t count(Split split) const override { return data_.count(split); }
  void fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
            const std::optional<TrainingKey>& training) const override;
  std::vector<std::string> touched() const override { return data_.touched(); }
  std::vector<std::string> notes() const override { return data_.notes(); }

 protected:
  /// Writes one training image as augmentation changes it to `out`, shape().size() floats.
  virtual void fill_augmented(Split split, std::int64_t index, const SampleKey& key, float* out) const {
    fill_image(data_, split, index, flip_ && is_flipped(key), out);
  }

 private:
  ImageDataset data_;
  std::string path_;
  bool flip_;
};

/// The data set behind samples of this task.
const ImageDataset& images_of(const Samples& samples);

/// Throws InputError that names both where the config declares (data.shape, data.classes) what the data at `path` are
/// not.
void require_declared(const std::string& path, const ImageDataOptions& declared, const ImageShape& found,
                      std::int64_t classes);

/// Opens the data at `path` as data.format says. Throws InputError as ImageDataset::open() and require_declared() do.
ImageDataset open_images(const std::string& path, const ImageDataOptions& options);

}  // namespace blocktrain::trainer
