#pragma once
/// The keys that tasks of images with a class each have for their data.

#include <cstdint>
#include <vector>

#include "blocks/setting.hpp"
#include "trainer/data/data_config.hpp"
#include "trainer/tasks/images/data_format.hpp"

namespace blocktrain::trainer {

struct ImageDataOptions {
  DataFormat format = DataFormat::automatic;
  std::vector<int> shape;    ///< channels, height, width of an image as declared; empty: the data say
  std::int64_t classes = 0;  ///< as declared; 0: the data say
  bool flip = false;         ///< random horizontal flips

  void describe(std::vector<blocks::Setting>& out);
  void check(std::vector<blocks::Conflict>& out) const;
  bool operator==(const ImageDataOptions&) const = default;
};

}  // namespace blocktrain::trainer
