#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/transform.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

/// Heads of tokens, and where each lies.
struct Turn {
  std::int64_t tokens, heads, half;
  TokenStrides from, to;
  const float* angles;  ///< [tokens][2 * half]
  float sign;           ///< of the sines

  /// First numbers of the pair `i` of the head, with the tensor's strides.
  __device__ std::int64_t place(const TokenStrides& strides, std::int64_t row, std::int64_t head,
                                std::int64_t i) const {
    return row / tokens * strides.sample + row % tokens * strides.token + head * 2 * half + i;
  }
};

template <class T>
void turn_each(cudaStream_t stream, std::int64_t rows, const Turn& turn, T* out, const T* x) {
  const std::int64_t of_row = turn.heads * turn.half;
  each(stream, rows * of_row, [=] __device__(std::int64_t k) {
    const std::int64_t row = k / of_row, head = k % of_row / turn.half, i = k % turn.half;
    const float* const cosine = turn.angles + row % turn.tokens * 2 * turn.half + i;
    const float c = cosine[0], s = turn.sign * cosine[turn.half];
    const T* const in = x + turn.place(turn.from, row, head, i);
    T* const to = out + turn.place(turn.to, row, head, i);
    const float first = to_float(in[0]), second = to_float(in[turn.half]);
    to[0] = from_float<T>(first * c - second * s);
    to[turn.half] = from_float<T>(second * c + first * s);
  });
}

/// Eight neighbouring pairs to a thread.
template <class T>
void turn_lanes(cudaStream_t stream, std::int64_t rows, const Turn& turn, T* out, const T* x) {
  const std::int64_t of_head = turn.half / lanes, of_row = turn.heads * of_head;
  each(stream, rows * of_row, [=] __device__(std::int64_t k) {
    const std::int64_t row = k / of_row, head = k % of_row / of_head, i = k % of_head * lanes;
    const float* const cosine = turn.angles + row % turn.tokens * 2 * turn.half + i;
    const T* const in = x + turn.place(turn.from, row, head, i);
    T* const to = out + turn.place(turn.to, row, head, i);
    const Lanes first = load_lanes(in), second = load_lanes(in + turn.half);
    const Lanes c = load_lanes(cosine), s = load_lanes(cosine + turn.half);
    Lanes a, b;
#pragma unroll
    for (int l = 0; l < lanes; ++l) {
      const float sine = turn.sign * s.value[l];
      a.value[l] = first.value[l] * c.value[l] - second.value[l] * sine;
      b.value[l] = second.value[l] * c.value[l] + first.value[l] * sine;
    }
    store_lanes(to, a);
    store_lanes(to + turn.half, b);
  });
}

template <class T>
void turn_all(cudaStream_t stream, std::int64_t rows, const Turn& turn, T* out, const T* x) {
  const auto aligned = [](const T* p, const TokenStrides& s) { return packs_at(p, s.sample) && packs_at(p, s.token); };
  if (turn.half % lanes == 0 && aligned(out, turn.to) && aligned(x, turn.from) && packs_at(turn.angles)) {
    turn_lanes(stream, rows, turn, out, x);
  } else {
    turn_each(stream, rows, turn, out, x);
  }
}

}  // namespace

void CudaBackend::rotary(const Tensor& out, const Tensor& x, const Tensor& angles, bool inverse) {
  const std::int64_t tokens = angles.dim(0), width = angles.dim(1);
  const std::int64_t samples = samples_of(x, tokens);
  const Turn turn{tokens,
                  token_width(x) / width,
                  width / 2,
                  token_strides(x, samples),
                  token_strides(out, samples),
                  pointer<float>(angles),
                  inverse ? -1.0f : 1.0f};
  with_stored_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    turn_all<T>(stream_, samples * tokens, turn, pointer<T>(out), pointer<T>(x));
  });
}

}  // namespace blocktrain::kernels
