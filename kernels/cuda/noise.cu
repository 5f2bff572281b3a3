#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/normal.cuh"

namespace blocktrain::kernels {
using namespace cuda;

namespace {

template <class T>
void fill_normal(cudaStream_t stream, const Tensor& out, const RandomKey& key, std::uint32_t step,
                 std::uint32_t first_sample) {
  const std::int64_t columns = out.row_size(), groups = divide_up(columns, 4), stride = out.row_stride;
  T* const to = pointer<T>(out);
  each(stream, out.dim(0) * groups, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / groups, group = i % groups;
    float normal[4];
    normal_group(normal, key, step, first_sample + static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(group));
    for (std::int64_t e = 4 * group; e < 4 * group + 4 && e < columns; ++e) {
      to[row * stride + e] = from_float<T>(normal[e - 4 * group]);
    }
  });
}

}  // namespace

void CudaBackend::random_normal(const Tensor& out, const RandomKey& key, std::uint32_t step,
                                std::uint32_t first_sample) {
  with_stored_type(out.dtype, [&](auto type) { fill_normal<decltype(type)>(stream_, out, key, step, first_sample); });
}

void CudaBackend::add_noise(const Tensor& z, const Tensor& y, const Tensor& sigma, const RandomKey& key,
                            const StepState* state, std::uint32_t first_sample) {
  const std::int64_t columns = z.row_size(), groups = divide_up(columns, 4);
  float* const to = pointer<float>(z);
  const float *const from = pointer<float>(y), *const levels = pointer<float>(sigma);
  const bool packs = columns % 4 == 0 && packs_at(to) && packs_at(from);
  each(stream_, z.dim(0) * groups, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / groups, group = i % groups, first = row * columns + 4 * group;
    float normal[4];
    normal_group(normal, key, state->step, first_sample + static_cast<std::uint32_t>(row),
                 static_cast<std::uint32_t>(group));
    const float level = levels[row];
    if (packs) {
      Pack<float> pack = load_pack(from + first);
#pragma unroll
      for (int e = 0; e < 4; ++e) pack.value[e] += level * normal[e];
      store_pack(to + first, pack);
    } else {
      for (std::int64_t e = 0; e < 4 && 4 * group + e < columns; ++e)
        to[first + e] = from[first + e] + level * normal[e];
    }
  });
}

void CudaBackend::drop_labels(const Tensor& out, const Tensor& in, std::int32_t null_label, double p,
                              const RandomKey& key, const StepState* state, std::uint32_t first_sample) {
  std::int32_t* const to = pointer<std::int32_t>(out);
  const std::int32_t* const from = pointer<std::int32_t>(in);
  each(stream_, in.size(), [=] __device__(std::int64_t n) {
    const auto words =
        random_words(key, state == nullptr ? 0 : state->step, first_sample + static_cast<std::uint32_t>(n), 0);
    to[n] = from[n] < 0 || uniform_open(words[0]) < p ? null_label : from[n];
  });
}

}  // namespace blocktrain::kernels
