#include "kernels/cuda/cublaslt_matmul.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace blocktrain::kernels::cuda {
namespace {

cudaDataType_t data_type(DType t) {
  BLOCKTRAIN_EXPECTS(t == DType::float32 || t == DType::bfloat16);
  return t == DType::float32 ? CUDA_R_32F : CUDA_R_16BF;
}

/// The largest power of two that divides an address, up to what the widest accesses of a GPU ask for: no more, so that
/// a shape is computed by the same algorithm wherever its tensors lie.
std::int64_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  std::int64_t a = 16;
  while (address % static_cast<std::uintptr_t>(a) != 0) a /= 2;
  return a;
}

cublasLtEpilogue_t epilogue(MatmulEnd::Kind kind) {
  switch (kind) {
    case MatmulEnd::Kind::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case MatmulEnd::Kind::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case MatmulEnd::Kind::bias_gelu:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    case MatmulEnd::Kind::bias_gelu_keep:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case MatmulEnd::Kind::bias_gradient:
      return CUBLASLT_EPILOGUE_BGRADB;
  }
  BLOCKTRAIN_EXPECTS(!"a known end");
  return CUBLASLT_EPILOGUE_DEFAULT;
}

/// Whether cuBLASLt may be asked for this end. Its GELU is of bfloat16's accuracy, and wants the rows of `kept` at
/// steps of 16 bytes.
bool ends_can(const MatmulEnd& end, DType type) {
  const bool gelu = end.kind == MatmulEnd::Kind::bias_gelu || end.kind == MatmulEnd::Kind::bias_gelu_keep;
  if (gelu && type != DType::bfloat16) return false;
  return end.kept.empty() || (end.kept.row_size() % 8 == 0 && alignment(end.kept.data) >= 16);
}

/// A stored matrix, as cuBLASLt's columns: rows and columns change places.
struct Layout {
  Layout(const Tensor& t, std::int64_t rows, std::int64_t columns) {
    BLOCKTRAIN_CUBLAS(cublasLtMatrixLayoutCreate(&value, data_type(t.dtype), static_cast<std::uint64_t>(columns),
                                                 static_cast<std::uint64_t>(rows), t.row_stride));
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(value); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t value = nullptr;
};

const char* name(MatmulEnd::Kind kind) {
  switch (kind) {
    case MatmulEnd::Kind::none:
      return "";
    case MatmulEnd::Kind::bias:
      return " with a bias";
    case MatmulEnd::Kind::bias_gelu:
    case MatmulEnd::Kind::bias_gelu_keep:
      return " with a bias and GELU";
    case MatmulEnd::Kind::bias_gradient:
      return " with a bias's gradient";
  }
  return "";
}

/// Once for each product: kernels that cost far more do it then.
void complain(std::int64_t rows, std::int64_t columns, std::int64_t depth, DType type, MatmulEnd::Kind end,
              cublasStatus_t status) {
  std::fprintf(stderr,
               "blocktrain: cuBLASLt has no product of %lld x %lld x %lld in %s%s (%s); plain kernels compute %s, "
               "slowly\n",
               static_cast<long long>(rows), static_cast<long long>(columns), static_cast<long long>(depth),
               std::string(name_of(type)).c_str(), name(end), cublasLtGetStatusString(status),
               end == MatmulEnd::Kind::none ? "it" : "its end");
}

struct Preference {
  Preference() { BLOCKTRAIN_CUBLAS(cublasLtMatmulPreferenceCreate(&value)); }
  ~Preference() { cublasLtMatmulPreferenceDestroy(value); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T setting) {
    BLOCKTRAIN_CUBLAS(cublasLtMatmulPreferenceSetAttribute(value, attribute, &setting, sizeof(setting)));
  }
  cublasLtMatmulPreference_t value = nullptr;
};

}  // namespace

/// A product of one shape. Row-major c = op(a) op(b) is column-major c^T = op(b)^T op(a)^T, so b comes first.
struct CublasLtMatmul::Product {
  Product(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const MatmulEnd& end)
      : c_layout(c, c.dim(0), c.row_size()), a_layout(a, a.dim(0), a.row_size()), b_layout(b, b.dim(0), b.row_size()) {
    BLOCKTRAIN_CUBLAS(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(end.kind));
    if (!end.bias.empty()) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(end.bias.dtype));
    if (!end.kept.empty()) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, end.kept.row_size());
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, data_type(end.kept.dtype));
    }
    point_at(end);
  }
  ~Product() { cublasLtMatmulDescDestroy(description); }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T setting) {
    BLOCKTRAIN_CUBLAS(cublasLtMatmulDescSetAttribute(description, attribute, &setting, sizeof(setting)));
  }
  void point_at(const MatmulEnd& end) {
    if (!end.bias.empty()) set<void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER, end.bias.data);
    if (!end.kept.empty()) set<void*>(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, end.kept.data);
  }

  Layout c_layout, a_layout, b_layout;
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool found = false;
};

CublasLtMatmul::CublasLtMatmul(int proposal) : proposal_(static_cast<std::size_t>(proposal)) {
  BLOCKTRAIN_CUBLAS(cublasLtCreate(&handle_));
}

CublasLtMatmul::~CublasLtMatmul() {
  products_.clear();
  cublasLtDestroy(handle_);
}

bool CublasLtMatmul::multiply(cudaStream_t stream, const Workspace& workspace, const Tensor& c, const Tensor& a,
                              bool transpose_a, const Tensor& b, bool transpose_b, bool accumulate,
                              const MatmulEnd& end) {
  const std::int64_t rows = c.dim(0), columns = c.row_size();
  const std::int64_t depth = transpose_a ? a.dim(0) : a.row_size();
  if (!ends_can(end, c.dtype)) return false;
  const Key key{rows,
                columns,
                depth,
                a.row_stride,
                b.row_stride,
                c.row_stride,
                transpose_a,
                transpose_b,
                accumulate,
                static_cast<std::int64_t>(end.kind),
                static_cast<std::int64_t>(a.dtype),
                static_cast<std::int64_t>(c.dtype),
                alignment(a.data),
                alignment(b.data),
                alignment(c.data),
                alignment(end.kept.data),
                alignment(end.bias.data)};
  std::unique_ptr<Product>& product = products_[key];
  const auto none = [&](cublasStatus_t status) {
    product->found = false;
    if (proposal_ == 0) complain(rows, columns, depth, a.dtype, end.kind, status);
    return false;
  };
  if (product == nullptr) {
    product = std::make_unique<Product>(c, a, transpose_a, b, transpose_b, end);
    Preference preference;
    preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace.bytes());
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(alignment(b.data)));
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(alignment(a.data)));
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(alignment(c.data)));
    preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(alignment(c.data)));
    // Pieces of a sum over a split depth are added up in float32, not in the type of the result.
    preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                   static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    std::vector<cublasLtMatmulHeuristicResult_t> proposals(proposal_ + 1);
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle_, product->description, product->b_layout.value, product->a_layout.value, product->c_layout.value,
        product->c_layout.value, preference.value, static_cast<int>(proposals.size()), proposals.data(), &count);
    // "Not supported" and "none found" are answers; anything else is an error.
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) BLOCKTRAIN_CUBLAS(status);
    const cublasLtMatmulHeuristicResult_t& taken = proposals.back();
    product->found = status == CUBLAS_STATUS_SUCCESS && count == static_cast<int>(proposals.size()) &&
                     taken.state == CUBLAS_STATUS_SUCCESS;
    product->algorithm = taken.algo;
    if (!product->found) return none(status);
  }
  if (!product->found) return false;
  product->point_at(end);
  const float alpha = 1, beta = accumulate ? 1 : 0;
  const cublasStatus_t status =
      cublasLtMatmul(handle_, product->description, &alpha, b.data, product->b_layout.value, a.data,
                     product->a_layout.value, &beta, c.data, product->c_layout.value, c.data, product->c_layout.value,
                     &product->algorithm, workspace.data(), workspace.bytes(), stream);
  const bool refused = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
  if (refused) return none(status);
  BLOCKTRAIN_CUBLAS(status);
  return true;
}

}  // namespace blocktrain::kernels::cuda
