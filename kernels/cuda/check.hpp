#pragma once
/// Every return of the CUDA runtime, cuBLASLt and cuDNN is looked at. A failure throws LibraryError with the call, its
/// place, the library's own words and the rank.

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "kernels/error.hpp"

#define BLOCKTRAIN_CUDA(call)                                                                               \
  do {                                                                                                      \
    const cudaError_t blocktrain_status = (call);                                                           \
    if (blocktrain_status != cudaSuccess) {                                                                 \
      (void)cudaGetLastError(); /* it is reported here, not by the next launch */                           \
      ::blocktrain::throw_library_error(                                                                    \
          #call, __FILE__, __LINE__,                                                                        \
          std::string(cudaGetErrorName(blocktrain_status)) + ": " + cudaGetErrorString(blocktrain_status)); \
    }                                                                                                       \
  } while (false)

#define BLOCKTRAIN_CUBLAS(call)                                                                                 \
  do {                                                                                                          \
    const cublasStatus_t blocktrain_status = (call);                                                            \
    if (blocktrain_status != CUBLAS_STATUS_SUCCESS)                                                             \
      ::blocktrain::throw_library_error(#call, __FILE__, __LINE__, cublasLtGetStatusString(blocktrain_status)); \
  } while (false)
