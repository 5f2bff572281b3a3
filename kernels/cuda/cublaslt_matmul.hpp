#pragma once
/// Matrix products by cuBLASLt. The algorithm for a shape is asked for once and kept, so that a shape is always
/// computed in the same way, and asked for outside of a graph's capture.

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cuda/workspace.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::kernels::cuda {

/// What is done with a product before it is written.
struct MatmulEnd {
  enum class Kind : std::uint8_t {
    none,
    bias,            ///< + bias
    bias_gelu,       ///< gelu(+ bias)
    bias_gelu_keep,  ///< the same, and `kept` takes the GELU's input
    bias_gradient,   ///< nothing, but `bias` [M] is overwritten with the column sums of a, which is transposed
  };
  Kind kind = Kind::none;
  Tensor bias;  ///< [N] (of bias_gradient: [M]), of the output's type
  Tensor kept;  ///< [M,N] contiguous, of the output's type
};

class CublasLtMatmul {
 public:
  /// Takes cuBLASLt's proposal number `proposal` for each shape: of those that it thinks fit, the best first.
  explicit CublasLtMatmul(int proposal = 0);
  ~CublasLtMatmul();
  CublasLtMatmul(const CublasLtMatmul&) = delete;
  CublasLtMatmul& operator=(const CublasLtMatmul&) = delete;

  /// c[M,N] (+)= op(a) op(b), as Ops::matmul; types: all float32, or a and b bfloat16 and c either. Accumulates in
  /// float32; never in TF32. False when cuBLASLt has no algorithm for the shape with this end.
  bool multiply(cudaStream_t stream, const Workspace& workspace, const Tensor& c, const Tensor& a, bool transpose_a,
                const Tensor& b, bool transpose_b, bool accumulate, const MatmulEnd& end);

 private:
  struct Product;
  /// Everything an algorithm depends on: sizes, strides, types, transpositions, end, alignments.
  using Key = std::vector<std::int64_t>;

  cublasLtHandle_t handle_ = nullptr;
  std::size_t proposal_;
  std::map<Key, std::unique_ptr<Product>> products_;
};

}  // namespace blocktrain::kernels::cuda
