// The part of cuBLASLt that blocktrain calls, on the emulated GPU: plain loops with sums in float32.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/emulated_gpu/emulated_gpu.hpp"
#include "tests/emulated_gpu/memory.hpp"
#include "tests/emulated_gpu/stream.hpp"

namespace emulated_gpu {
namespace {

/// What the real library keeps in its opaque descriptors.
struct Description {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t end = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  void* aux = nullptr;
  std::int64_t aux_stride = 0;
  cudaDataType_t bias_type = CUDA_R_32F, aux_type = CUDA_R_32F;
};
struct Layout {
  cudaDataType_t type;
  std::uint64_t rows, columns;
  std::int64_t stride;
};

Description& description_of(cublasLtMatmulDesc_t d) { return *reinterpret_cast<Description*>(d); }
const Layout& layout_of(cublasLtMatrixLayout_t l) { return *reinterpret_cast<const Layout*>(l); }

bool known(cudaDataType_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

float load(const void* data, cudaDataType_t type, std::int64_t at) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[at];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]);
}
void store(void* data, cudaDataType_t type, std::int64_t at, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[at] = value;
  } else {
    static_cast<__nv_bfloat16*>(data)[at] = __float2bfloat16_rn(value);
  }
}

/// op(m) with `rows` rows, row after row, in float32.
std::vector<float> pack(const void* data, const Layout& m, bool across) {
  std::vector<float> out(m.rows * m.columns);
  for (std::uint64_t j = 0; j < m.columns; ++j) {
    for (std::uint64_t i = 0; i < m.rows; ++i) {
      const float v = load(data, m.type, static_cast<std::int64_t>(i) + static_cast<std::int64_t>(j) * m.stride);
      out[across ? j * m.rows + i : i * m.columns + j] = v;
    }
  }
  return out;
}

constexpr float root_two_over_pi = 0.7978845608f, cubic = 0.044715f;
float gelu(float x) { return 0.5f * x * (1 + std::tanh(root_two_over_pi * (x + cubic * x * x * x))); }

/// In pieces, as a tile of a real product sums: one sum over a long depth would be off by more than any of those.
float dot(const float* x, const float* y, std::int64_t depth) {
  float sum = 0;
  for (std::int64_t begin = 0; begin < depth; begin += 256) {
    float piece = 0;
    for (std::int64_t k = begin; k < std::min<std::int64_t>(begin + 256, depth); ++k) piece += x[k] * y[k];
    sum += piece;
  }
  return sum;
}

struct Product {
  Description what;
  float alpha, beta;
  const void *a, *b, *c;
  void* d;
  Layout a_layout, b_layout, c_layout, d_layout;

  void operator()() const {
    count_product(what.end != CUBLASLT_EPILOGUE_DEFAULT);
    const auto rows = static_cast<std::int64_t>(d_layout.rows), columns = static_cast<std::int64_t>(d_layout.columns);
    const bool turned_a = what.transpose_a == CUBLAS_OP_T, turned_b = what.transpose_b == CUBLAS_OP_T;
    const auto depth = static_cast<std::int64_t>(turned_a ? a_layout.rows : a_layout.columns);
    const std::vector<float> left = pack(a, a_layout, turned_a);    // [rows][depth]
    const std::vector<float> right = pack(b, b_layout, !turned_b);  // [columns][depth]
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t i = 0; i < rows; ++i) {
        float value =
            alpha * dot(&left[static_cast<std::size_t>(i * depth)], &right[static_cast<std::size_t>(j * depth)], depth);
        if (beta != 0) value += beta * load(c, c_layout.type, i + j * c_layout.stride);
        store(d, d_layout.type, i + j * d_layout.stride, ended(value, i, j));
      }
    }
    if (what.end == CUBLASLT_EPILOGUE_BGRADB) {
      for (std::int64_t j = 0; j < columns; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) sum += right[static_cast<std::size_t>(j * depth + k)];
        store(what.bias, what.bias_type, j, sum);
      }
    }
  }

  float ended(float value, std::int64_t i, std::int64_t j) const {
    const std::int64_t aux_at = i + j * what.aux_stride;
    switch (what.end) {
      case CUBLASLT_EPILOGUE_BIAS:
        return value + load(what.bias, what.bias_type, i);
      case CUBLASLT_EPILOGUE_GELU_BIAS:
        return gelu(value + load(what.bias, what.bias_type, i));
      case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
        value += load(what.bias, what.bias_type, i);
        store(what.aux, what.aux_type, aux_at, value);
        return gelu(value);
      default:
        return value;
    }
  }
};

bool gelu_end(cublasLtEpilogue_t end) {
  return end == CUBLASLT_EPILOGUE_GELU_BIAS || end == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}
bool known_end(cublasLtEpilogue_t end) {
  return end == CUBLASLT_EPILOGUE_DEFAULT || end == CUBLASLT_EPILOGUE_BIAS ||
         (end == CUBLASLT_EPILOGUE_BGRADB && settings().sum_ends) || (gelu_end(end) && settings().gelu_ends);
}

/// Whether an end has what it reads and writes, where the real library wants it.
bool end_fits(const Description& what, const Layout& d) {
  const bool plain = what.end == CUBLASLT_EPILOGUE_DEFAULT, aux = what.end == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  if ((what.bias == nullptr) != plain || (what.aux == nullptr) == aux) return false;
  if (what.bias != nullptr && reinterpret_cast<std::uintptr_t>(what.bias) % (what.bias_type == CUDA_R_32F ? 4 : 2) != 0)
    return false;
  if (aux && (what.aux_stride % 8 != 0 || what.aux_stride < static_cast<std::int64_t>(d.rows))) return false;
  return what.end != CUBLASLT_EPILOGUE_BGRADB || what.transpose_b == CUBLAS_OP_T;
}

/// Sizes, types and strides that the real library would take.
bool fits(const Description& what, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const bool turned_a = what.transpose_a == CUBLAS_OP_T, turned_b = what.transpose_b == CUBLAS_OP_T;
  const auto depth = turned_a ? a.rows : a.columns;
  for (const Layout* l : {&a, &b, &c, &d}) {
    if (!known(l->type) || l->stride < static_cast<std::int64_t>(l->rows)) return false;
  }
  return depth == (turned_b ? b.columns : b.rows) && d.rows == (turned_a ? a.columns : a.rows) &&
         d.columns == (turned_b ? b.rows : b.columns) && c.rows == d.rows && c.columns == d.columns &&
         a.type == b.type && known_end(what.end) && end_fits(what, d) &&
         (what.bias == nullptr || what.bias_type == d.type);
}

/// Whether the GPU may reach all of a matrix.
bool reachable(const void* data, const Layout& l) {
  const std::size_t element = l.type == CUDA_R_32F ? 4 : 2;
  const std::size_t places = (l.columns - 1) * static_cast<std::size_t>(l.stride) + l.rows;
  return kind_of(data, places * element) == Kind::device;
}

}  // namespace
}  // namespace emulated_gpu

using namespace emulated_gpu;

namespace {
std::atomic<int> handles{0};
}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(handle);  // never looked into
  ++handles;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) {
  if (--handles == 0) note_library(false);
  return CUBLAS_STATUS_SUCCESS;
}
std::size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "refused by the emulated cuBLASLt";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute, cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *d = reinterpret_cast<cublasLtMatmulDesc_t>(new Description);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
  delete &description_of(d);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  Description& what = description_of(d);
  const auto take = [&](auto& field) {
    if (bytes != sizeof(field)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, sizeof(field));
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(what.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(what.transpose_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(what.end);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(what.bias);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(what.bias_type);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return take(what.aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return take(what.aux_stride);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      return take(what.aux_type);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t stride) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, stride});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &layout_of(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new int);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete reinterpret_cast<int*>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t out, cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  *count = 0;
  if (!settings().products || !fits(description_of(d), layout_of(a), layout_of(b), layout_of(c), layout_of(out))) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  results[0] = {};
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* out,
                              cublasLtMatrixLayout_t out_layout, const cublasLtMatmulAlgo_t*, void*, std::size_t,
                              cudaStream_t stream) {
  const Product product{description_of(d),
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta),
                        a,
                        b,
                        c,
                        out,
                        layout_of(a_layout),
                        layout_of(b_layout),
                        layout_of(c_layout),
                        layout_of(out_layout)};
  if (!fits(product.what, product.a_layout, product.b_layout, product.c_layout, product.d_layout)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (!reachable(a, product.a_layout) || !reachable(b, product.b_layout) || !reachable(out, product.d_layout)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  note_library(true);
  const Turn turn;
  stream_of(stream).add({product, nullptr, nullptr});
  return CUBLAS_STATUS_SUCCESS;
}
