#include "kernels/cuda/cuda_backend.hpp"

namespace blocktrain::kernels {

CudaBackend::CudaBackend(DType dtype, bool deterministic)
    : dtype_(dtype), fused_attention_(cuda::make_fused_attention(deterministic)) {
  BLOCKTRAIN_EXPECTS(dtype == DType::float32 || dtype == DType::bfloat16);
  // Not the legacy stream, whose kernels wait for those of every other one.
  BLOCKTRAIN_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

CudaBackend::~CudaBackend() {
  fused_attention_.reset();  // its library's handle knows the stream
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void CudaBackend::synchronize() { BLOCKTRAIN_CUDA(cudaStreamSynchronize(stream_)); }

}  // namespace blocktrain::kernels
