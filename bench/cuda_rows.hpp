#pragma once
/// What bench_kernels_cuda times: calls of ops, with the operands they take.

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/cuda/cublaslt_matmul.hpp"
#include "kernels/cuda/fused_attention.hpp"
#include "kernels/cuda/workspace.hpp"
#include "kernels/gpu_scratch.hpp"
#include "kernels/ops.hpp"

namespace blocktrain::bench {

using kernels::Arena;
using kernels::DType;
using kernels::Ops;
using kernels::StepState;
using kernels::Tensor;
using kernels::cuda::FusedAttention;

/// A transformer as the ops see it.
struct Network {
  const char* name;
  std::int64_t width, heads, layers_per_block;
  std::int64_t batch = 128, tokens = 256, channels = 4, size = 32, patch = 2, classes = 1000;
  std::int64_t parameters() const { return layers_per_block * 18 * width * width; }  ///< nearly, of a block
};

/// Takes the operands of one call and adds up the bytes that it has to move.
class Operands {
 public:
  using Dims = std::initializer_list<std::int64_t>;
  Operands(Arena& arena, DType dtype) : arena_(arena), dtype_(dtype) {}

  Tensor in(Dims dims) { return take(dtype_, dims, 1); }
  Tensor out(Dims dims) { return take(dtype_, dims, 1); }
  Tensor in_out(Dims dims) { return take(dtype_, dims, 2); }
  Tensor precise_in(Dims dims) { return take(kernels::precise(dtype_), dims, 1); }
  Tensor precise_out(Dims dims) { return precise_in(dims); }
  Tensor precise_in_out(Dims dims) { return take(kernels::precise(dtype_), dims, 2); }
  /// Of which the call touches the first `rows` once, or twice.
  Tensor table(DType type, Dims dims, std::int64_t rows, int times) {
    const Tensor t = take(type, dims, 0);
    moved_ += times * static_cast<double>(t.rows(0, rows).bytes());
    return t;
  }
  Tensor index(std::int64_t count) { return take(DType::int32, {count}, 1); }
  /// The columns of one part of six, as modulations lie.
  Tensor part(std::int64_t samples, std::int64_t width) {
    const Tensor all = take(dtype_, {samples, 6 * width}, 0);
    moved_ += static_cast<double>(all.bytes()) / 6;
    return all.columns(width, 2 * width);
  }
  StepState* state() {
    const Tensor t = take(DType::int32, {static_cast<std::int64_t>(sizeof(StepState) / 4)}, 0);
    states_.push_back(t);
    return static_cast<StepState*>(t.data);
  }
  DType dtype() const { return dtype_; }
  double moved() const { return moved_; }
  const std::vector<Tensor>& all() const { return all_; }
  const std::vector<Tensor>& states() const { return states_; }

 private:
  Tensor take(DType type, Dims dims, int times) {
    const Tensor t = arena_.allocate(type, dims);
    moved_ += times * static_cast<double>(t.bytes());
    all_.push_back(t);
    return t;
  }

  Arena& arena_;
  DType dtype_;
  double moved_ = 0;
  std::vector<Tensor> all_, states_;
};

/// What calls may use besides ops: cuDNN and cuBLASLt alone, this by the number of its proposal. Made on first use.
struct Libraries {
  std::unique_ptr<FusedAttention> deterministic, fast;
  std::size_t workspace_bytes = kernels::shared_scratch_bytes;
  std::unique_ptr<kernels::cuda::Workspace> workspace;
  std::map<int, std::unique_ptr<kernels::cuda::CublasLtMatmul>> products;
  cudaStream_t stream = nullptr;
};

/// Does one call; false: not served here.
using Call = std::function<bool(Ops&, Libraries&)>;

struct Row {
  std::string name;
  /// Takes operands and says what is to be called with them.
  std::function<Call(Operands&)> bind;
  double flops = 0;  ///< 0: bytes are what it is judged by
  bool bfloat16_only = false;
};

/// Ops that memory bounds, and attention, beside cuDNN's called alone.
std::vector<Row> rows_of(const Network& network);

/// Matrix products of a layer, as a step has them, and each alone by so many of cuBLASLt's proposals.
std::vector<Row> product_rows(const Network& network, int proposals);

}  // namespace blocktrain::bench
