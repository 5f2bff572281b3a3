#pragma once
/// Images and their labels as a classifier is trained on them: changed where training asks for it (augmentation.hpp),
/// else as they are.

#include <cstdint>
#include <string>

#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/labels/augmentation.hpp"
#include "trainer/tasks/labels/labels_options.hpp"

namespace blocktrain::trainer {

class LabelSamples : public ImageSamples {
 public:
  /// `path`: where they lie, as it was given. Throws InputError where the images have more channels than the
  /// augmentation can do with.
  LabelSamples(ImageDataset data, const std::string& path, const Augmentation& augmentation);

 protected:
  void fill_augmented(Split split, std::int64_t index, const SampleKey& key, float* out) const override;

 private:
  Augmentation augmentation_;
};

/// What the keys of the config ask for.
Augmentation augmentation_of(const LabelsOptions& options);

}  // namespace blocktrain::trainer
