#pragma once
/// The keys that task `images` has for itself: its data and what its quality is measured by.

#include <cstdint>
#include <span>
#include <vector>

#include "blocks/noise/sampler.hpp"
#include "blocks/setting.hpp"
#include "trainer/tasks/images/image_data_options.hpp"

namespace blocktrain::trainer {

using blocks::SamplerKind;

struct ImagesOptions : ImageDataOptions {
  // eval
  std::int64_t samples = 500;         ///< generated images for agreement and Frechet distances
  std::vector<int> steps{4, 18, 50};  ///< numbers of sampling steps to compare
  SamplerKind sampler = SamplerKind::euler;
  double guidance = 1.0;

  void describe(std::vector<blocks::Setting>& out);
  void check(std::span<const blocks::Setting> all, std::vector<blocks::Conflict>& out) const;
  bool operator==(const ImagesOptions&) const = default;
};

}  // namespace blocktrain::trainer
