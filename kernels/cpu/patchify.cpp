#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/preconditioning.hpp"

namespace blocktrain::kernels {
namespace {

/// Shape of an image cut into patches.
struct Grid {
  Grid(const Tensor& image, int patch_size)
      : channels(image.shape[1]), height(image.shape[2]), width(image.shape[3]), patch(patch_size) {
    down = height / patch;
    across = width / patch;
  }
  std::int64_t channels, height, width, patch;
  std::int64_t down = 0, across = 0;
};

/// Calls move(token element, pixel) for every pixel of row `ty` of patches of one sample. A patch size known to the
/// compiler (fixed != 0) unrolls the innermost loops.
template <std::int64_t fixed, class Element, class Pixel, class Move>
void walk(const Grid& grid, std::int64_t ty, Element* tokens, Pixel* image, Move move) {
  const std::int64_t patch = fixed != 0 ? fixed : grid.patch;
  const std::int64_t token_size = grid.channels * patch * patch;
  for (std::int64_t c = 0; c < grid.channels; ++c) {
    for (std::int64_t y = 0; y < patch; ++y) {
      Pixel* const line = image + (c * grid.height + ty * patch + y) * grid.width;
      Element* const place = tokens + ty * grid.across * token_size + (c * patch + y) * patch;
      for (std::int64_t tx = 0; tx < grid.across; ++tx) {
        for (std::int64_t x = 0; x < patch; ++x) move(place[tx * token_size + x], line[tx * patch + x]);
      }
    }
  }
}

template <class Element, class Pixel, class Move>
void walk(const Grid& grid, std::int64_t ty, Element* tokens, Pixel* image, Move move) {
  switch (grid.patch) {
    case 2:
      return walk<2>(grid, ty, tokens, image, move);
    case 4:
      return walk<4>(grid, ty, tokens, image, move);
    default:
      return walk<0>(grid, ty, tokens, image, move);
  }
}

}  // namespace

void CpuBackend::patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma,
                          double sigma_data) {
  const Grid grid(image, patch);
  float* const to = tokens.as<float>();
  const float* const from = image.as<float>();
  const float* const s = sigma.empty() ? nullptr : sigma.as<float>();
  const std::int64_t sample_size = image.row_size();
  parallel_for(threads_, image.shape[0] * grid.down, [&](std::int64_t i) {
    const std::int64_t n = i / grid.down;
    const double factor = s == nullptr ? 1 : level_factor(LevelFactor::input, static_cast<double>(s[n]), sigma_data);
    const auto c_in = static_cast<float>(factor);
    walk(grid, i % grid.down, to + n * sample_size, from + n * sample_size,
         [c_in](float& element, const float& pixel) { element = c_in * pixel; });
  });
}

void CpuBackend::unpatchify(const Tensor& image, const Tensor& tokens, int patch) {
  const Grid grid(image, patch);
  float* const to = image.as<float>();
  const float* const from = tokens.as<float>();
  const std::int64_t sample_size = image.row_size();
  parallel_for(threads_, image.shape[0] * grid.down, [&](std::int64_t i) {
    const std::int64_t n = i / grid.down;
    walk(grid, i % grid.down, from + n * sample_size, to + n * sample_size,
         [](const float& element, float& pixel) { pixel = element; });
  });
}

}  // namespace blocktrain::kernels
