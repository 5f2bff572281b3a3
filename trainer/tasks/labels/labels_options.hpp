#pragma once
/// The keys that task `labels` has for itself: its data, how training images are changed, how its quality is measured.

#include <span>
#include <vector>

#include "blocks/setting.hpp"
#include "trainer/tasks/images/image_data_options.hpp"

namespace blocktrain::trainer {

struct LabelsOptions : ImageDataOptions {
  // data
  int crop_padding = 0;  ///< pixels
  int rand_augment = 0;  ///< operations per image
  int rand_augment_magnitude = 9;
  // eval
  std::vector<int> steps{4};  ///< numbers of sampling steps to compare

  void describe(std::vector<blocks::Setting>& out);
  void check(std::span<const blocks::Setting> all, std::vector<blocks::Conflict>& out) const;
  bool operator==(const LabelsOptions&) const = default;
};

}  // namespace blocktrain::trainer
