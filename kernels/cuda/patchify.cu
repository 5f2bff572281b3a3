// Images are float32; tokens are of the type the network computes in.
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// Shape of an image cut into patches.
struct Grid {
  Grid(const Tensor& image, int patch_size)
      : channels(image.dim(1)), height(image.dim(2)), width(image.dim(3)), patch(patch_size) {
    across = width / patch;
  }
  /// Sample of pixel i, counted through the batch, and its place among the tokens.
  struct Place {
    std::int64_t sample, element;
  };
  __device__ Place place(std::int64_t i) const {
    const std::int64_t x = i % width, y = i / width % height, c = i / (width * height) % channels;
    const std::int64_t sample = i / (width * height * channels);
    const std::int64_t token = y / patch * across + x / patch;
    return {sample, (sample * (height / patch * across) + token) * channels * patch * patch +
                        (c * patch + y % patch) * patch + x % patch};
  }
  std::int64_t channels, height, width, patch, across = 0;
};

template <class T>
void cut(cudaStream_t stream, const Grid& grid, const Tensor& tokens, const Tensor& image, const Tensor& sigma,
         double sigma_data) {
  T* const to = pointer<T>(tokens);
  const float *const from = pointer<float>(image), *const levels = pointer_or_null<float>(sigma);
  each(stream, image.size(), [=] __device__(std::int64_t i) {
    const Grid::Place place = grid.place(i);
    float c_in = 1;
    if (levels != nullptr) {
      const double level = levels[place.sample];
      c_in = static_cast<float>(rsqrt(level * level + sigma_data * sigma_data));
    }
    to[place.element] = from_float<T>(c_in * from[i]);
  });
}

template <class T>
void join(cudaStream_t stream, const Grid& grid, const Tensor& image, const Tensor& tokens) {
  float* const to = pointer<float>(image);
  const T* const from = pointer<T>(tokens);
  each(stream, image.size(), [=] __device__(std::int64_t i) { to[i] = to_float(from[grid.place(i).element]); });
}

}  // namespace

void CudaBackend::patchify(const Tensor& tokens, const Tensor& image, int patch, const Tensor& sigma,
                           double sigma_data) {
  const Grid grid(image, patch);
  with_stored_type(tokens.dtype,
                   [&](auto type) { cut<decltype(type)>(stream_, grid, tokens, image, sigma, sigma_data); });
}

void CudaBackend::unpatchify(const Tensor& image, const Tensor& tokens, int patch) {
  const Grid grid(image, patch);
  with_stored_type(tokens.dtype, [&](auto type) { join<decltype(type)>(stream_, grid, image, tokens); });
}

}  // namespace blocktrain::kernels
