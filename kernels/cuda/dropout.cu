#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

template <class T>
void drop(cudaStream_t stream, const Tensor& out, const Tensor& x, double p, const RandomKey& key,
          const StepState* state, std::uint32_t first_sample) {
  const std::int64_t columns = x.row_size(), groups = divide_up(columns, 4);
  const float scale = static_cast<float>(1 / (1 - p));
  T* const to = pointer<T>(out);
  const T* const from = pointer<T>(x);
  each(stream, x.dim(0) * groups, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / groups, group = i % groups, first = row * columns + 4 * group;
    const auto words = random_words(key, state->step, first_sample + static_cast<std::uint32_t>(row),
                                    static_cast<std::uint32_t>(group));
    for (std::int64_t e = 0; e < 4 && 4 * group + e < columns; ++e) {
      const bool dropped = uniform_open(words[static_cast<std::size_t>(e)]) < p;
      to[first + e] = from_float<T>(dropped ? 0.0f : scale * to_float(from[first + e]));
    }
  });
}

}  // namespace

void CudaBackend::dropout(const Tensor& out, const Tensor& x, double p, const RandomKey& key, const StepState* state,
                          std::uint32_t first_sample) {
  with_stored_type(x.dtype, [&](auto type) { drop<decltype(type)>(stream_, out, x, p, key, state, first_sample); });
}

}  // namespace blocktrain::kernels
