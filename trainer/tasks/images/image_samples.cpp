#include "trainer/tasks/images/image_samples.hpp"

#include "kernels/error.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/pixels.hpp"

namespace blocktrain::trainer {

void fill_image(const ImageDataset& data, Split split, std::int64_t index, bool flip, float* out) {
  const std::uint8_t* pixels = data.image(split, index);
  const std::int64_t width = data.shape().width;
  const std::int64_t size = data.shape().size();
  if (!flip) {
    for (std::int64_t e = 0; e < size; ++e) out[e] = pixel_values[pixels[e]];
    return;
  }
  for (std::int64_t row = 0; row < size; row += width) {
    for (std::int64_t x = 0; x < width; ++x) out[row + x] = pixel_values[pixels[row + width - 1 - x]];
  }
}

void ImageSamples::fill(const blocks::Batch& batch, Split split, std::span<const std::int64_t> indices,
                        const std::optional<TrainingKey>& training) const {
  const kernels::Tensor &images = batch.fields[image_field], &labels = batch.fields[label_field];
  const std::int64_t rows = images.dim(0);
  BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(indices.size()) == rows && labels.dim(0) == rows);
  BLOCKTRAIN_EXPECTS(images.row_size() == data_.shape().size());
  float* image = images.as<float>();
  std::int32_t* label = labels.as<std::int32_t>();
  SampleKey key{training ? training->seed : 0, batch.step, batch.first_sample};
  for (const std::int64_t index : indices) {
    if (training) {
      fill_augmented(split, index, key, image);
    } else {
      fill_image(data_, split, index, false, image);
    }
    ++key.sample;
    *label++ = data_.label(split, index);
    image += images.row_stride;
  }
  // After it was read: nothing is made of what was not there in the beginning.
  data_.require_unchanged();
}

DataFacts ImageSamples::facts() const {
  DataFacts f;
  f.path = path_;
  f.digest = dataset_digest(data_);
  f.layout = layout();
  f.training_samples = data_.count(Split::train);
  f.heldout_samples = data_.count(Split::heldout);
  f.deviation = data_deviation(data_);
  data_.require_unchanged();
  return f;
}

const ImageDataset& images_of(const Samples& samples) {
  const auto* images = dynamic_cast<const ImageSamples*>(&samples);
  BLOCKTRAIN_EXPECTS(images != nullptr);
  return images->dataset();
}

void require_declared(const std::string& path, const ImageDataOptions& options, const ImageShape& found,
                      std::int64_t classes) {
  const std::vector<int>& declared = options.shape;
  if (!declared.empty() &&
      (declared[0] != found.channels || declared[1] != found.height || declared[2] != found.width)) {
    const auto list = [](std::int64_t channels, std::int64_t height, std::int64_t width) {
      return "[" + std::to_string(channels) + ", " + std::to_string(height) + ", " + std::to_string(width) + "]";
    };
    throw InputError("data.shape: found " + list(declared[0], declared[1], declared[2]) +
                     " (channels, height, width), but the images in '" + path + "' are " +
                     list(found.channels, found.height, found.width) +
                     "; accepted: their shape, or [] to go by the data");
  }
  if (options.classes != 0 && options.classes != classes) {
    throw InputError("data.classes: found " + std::to_string(options.classes) + ", but the data in '" + path +
                     "' have " + std::to_string(classes) + "; accepted: their number, or 0 to go by the data");
  }
}

ImageDataset open_images(const std::string& path, const ImageDataOptions& options) {
  ImageDataset data = ImageDataset::open(path, options.format);
  require_declared(path, options, data.shape(), data.classes());
  return data;
}

}  // namespace blocktrain::trainer
