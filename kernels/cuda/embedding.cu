#include "kernels/cuda/cuda_ops.hpp"
#include "kernels/cuda/launch.cuh"

namespace blocktrain::kernels {
using namespace cuda;
namespace {

template <class T>
void gather(cudaStream_t stream, const Tensor& out, const Tensor& table, const Tensor& index) {
  T* const to = pointer<T>(out);
  const T* const rows = pointer<T>(table);
  const std::int32_t* const which = pointer<std::int32_t>(index);
  const std::int64_t width = table.row_size();
  each(stream, out.size(), [=] __device__(std::int64_t i) { to[i] = rows[which[i / width] * width + i % width]; });
}

/// A thread has a column of a row of the table and walks the samples in order, so the order of each sum is theirs.
template <class T>
void scatter(cudaStream_t stream, const Tensor& dtable, const Tensor& dout, const Tensor& index) {
  float* const sums = pointer<float>(dtable);
  const T* const from = pointer<T>(dout);
  const std::int32_t* const which = pointer<std::int32_t>(index);
  const std::int64_t width = dtable.row_size(), samples = index.size();
  each(stream, dtable.size(), [=] __device__(std::int64_t i) {
    const std::int64_t row = i / width, column = i % width;
    float sum = sums[i];
    for (std::int64_t n = 0; n < samples; ++n) {
      if (which[n] == row) sum += to_float(from[n * width + column]);
    }
    sums[i] = sum;
  });
}

template <class T>
void features(cudaStream_t stream, const Tensor& out, const Tensor& sigma) {
  T* const to = pointer<T>(out);
  const float* const levels = pointer<float>(sigma);
  const std::int64_t half = out.dim(1) / 2;
  each(stream, out.dim(0) * half, [=] __device__(std::int64_t i) {
    const std::int64_t n = i / half, f = i % half;
    // Angles reach hundreds of radians: double, until reduced.
    const double frequency = 100 * pow(10000.0, -static_cast<double>(f) / static_cast<double>(half));
    double sine, cosine;
    sincos(frequency * log(static_cast<double>(levels[n])) / 4, &sine, &cosine);
    to[n * 2 * half + f] = from_float<T>(static_cast<float>(cosine));
    to[n * 2 * half + half + f] = from_float<T>(static_cast<float>(sine));
  });
}

}  // namespace

// Indices come from drop_labels, which puts every one of a checked data set inside the table; they are not read back.
void CudaOps::embedding_forward(const Tensor& out, const Tensor& table, const Tensor& index) {
  BLOCKTRAIN_EXPECTS(out.dim(0) == index.size() && out.row_size() == table.row_size());
  BLOCKTRAIN_EXPECTS(out.contiguous() && table.contiguous() && index.contiguous());
  with_stored_type(out.dtype, [&](auto type) { gather<decltype(type)>(stream_, out, table, index); });
}

void CudaOps::embedding_backward(const Tensor& dtable, const Tensor& dout, const Tensor& index) {
  BLOCKTRAIN_EXPECTS(dout.dim(0) == index.size() && dout.row_size() == dtable.row_size());
  BLOCKTRAIN_EXPECTS(dout.contiguous() && dtable.contiguous() && index.contiguous());
  with_stored_type(dout.dtype, [&](auto type) { scatter<decltype(type)>(stream_, dtable, dout, index); });
}

void CudaOps::noise_features(const Tensor& out, const Tensor& sigma) {
  BLOCKTRAIN_EXPECTS(out.rank == 2 && out.dim(1) % 2 == 0 && sigma.size() == out.dim(0));
  BLOCKTRAIN_EXPECTS(out.contiguous() && sigma.contiguous());
  with_stored_type(out.dtype, [&](auto type) { features<decltype(type)>(stream_, out, sigma); });
}

}  // namespace blocktrain::kernels
