#include "blocks/image_patches.hpp"

#include "kernels/error.hpp"

namespace blocktrain::blocks {

ImageSize image_of(const SampleLayout& layout, int patch, const std::string& architecture) {
  const std::vector<std::int64_t>& image = layout.field("image").shape;
  if (image.size() != 3) {
    throw InputError(architecture + ": an image has channels, height and width; found " + std::to_string(image.size()) +
                     " dimensions");
  }
  if (patch < 1) throw InputError(architecture + ": patch has to be 1 or more; found " + std::to_string(patch));
  if (image[1] % patch != 0 || image[2] % patch != 0) {
    const std::string side = std::to_string(patch);
    throw InputError("model.patch: images of " + std::to_string(image[1]) + "x" + std::to_string(image[2]) +
                     " pixels cannot be cut into patches of " + side + "x" + side +
                     "; choose a patch that divides both sides");
  }
  return {image[0], image[1], image[2]};
}

}  // namespace blocktrain::blocks
