#include "trainer/data/data_probe.hpp"

#include "trainer/data/image_dataset.hpp"

namespace blocktrain::trainer {

DataProbe probe_data(const std::string& path, DataFormat format) {
  const ImageDataset data = ImageDataset::open(path, format);
  DataProbe p;
  p.shape = {data.shape().channels, data.shape().height, data.shape().width, data.classes()};
  p.training_images = data.count(Split::train);
  p.heldout_images = data.count(Split::heldout);
  return p;
}

}  // namespace blocktrain::trainer
