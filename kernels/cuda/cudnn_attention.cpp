#include <cudnn.h>
#include <cudnn_frontend.h>

#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/fused_attention.hpp"

namespace blocktrain::kernels::cuda {
namespace {

namespace fe = cudnn_frontend;

#define BLOCKTRAIN_CUDNN(call)                                                                              \
  do {                                                                                                      \
    const cudnnStatus_t blocktrain_status = (call);                                                         \
    if (blocktrain_status != CUDNN_STATUS_SUCCESS)                                                          \
      ::blocktrain::throw_library_error(#call, __FILE__, __LINE__, cudnnGetErrorString(blocktrain_status)); \
  } while (false)

/// Names of the tensors in a plan.
enum Uid : std::int64_t { uid_q = 1, uid_k, uid_v, uid_out, uid_stats, uid_dout, uid_dq, uid_dk, uid_dv };

/// Device memory that a plan asks for, taken when it is first built, which is before any step is captured.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { cudaFree(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    BLOCKTRAIN_CUDA(cudaFree(memory_));  // waits for kernels that still use it
    memory_ = nullptr;
    bytes_ = 0;
    BLOCKTRAIN_CUDA(cudaMalloc(&memory_, bytes));
    bytes_ = bytes;
  }
  void* data() const { return memory_; }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What a plan is made for.
struct Shape {
  Shape(const Tensor& qkv, int head_count)
      : samples(qkv.dim(0)), tokens(qkv.dim(1)), width(qkv.dim(2) / 3), heads(head_count), head_width(width / heads) {}
  std::array<std::int64_t, 4> key() const { return {samples, tokens, width, heads}; }
  double scale() const { return 1 / std::sqrt(static_cast<double>(head_width)); }
  std::vector<std::int64_t> dims() const { return {samples, heads, tokens, head_width}; }
  /// Of q, k or v inside qkv[N,T,3C], and of a tensor [N,T,C].
  std::vector<std::int64_t> part_strides() const { return {tokens * 3 * width, head_width, 3 * width, 1}; }
  std::vector<std::int64_t> row_strides() const { return {tokens * width, head_width, width, 1}; }
  std::int64_t samples, tokens, width, heads, head_width;
};

class CudnnAttention final : public FusedAttention {
 public:
  explicit CudnnAttention(bool deterministic) : deterministic_(deterministic) {
    BLOCKTRAIN_CUDNN(cudnnCreate(&handle_));
  }
  ~CudnnAttention() override { cudnnDestroy(handle_); }

  bool forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& qkv,
               int heads) override {
    if (qkv.dtype != DType::bfloat16) return false;
    const Shape shape(qkv, heads);
    const auto [at, fresh] = forward_.try_emplace(shape.key());
    if (fresh) at->second = build(forward_plan(shape));
    return execute(stream, at->second,
                   {{uid_q, part(qkv, 0)},
                    {uid_k, part(qkv, 1)},
                    {uid_v, part(qkv, 2)},
                    {uid_out, out.data},
                    {uid_stats, log_sum_exp.data}});
  }

  bool backward(cudaStream_t stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& log_sum_exp, const Tensor& qkv, int heads) override {
    if (qkv.dtype != DType::bfloat16) return false;
    const Shape shape(qkv, heads);
    const auto [at, fresh] = backward_.try_emplace(shape.key());
    if (fresh) at->second = build(backward_plan(shape));
    return execute(stream, at->second,
                   {{uid_q, part(qkv, 0)},
                    {uid_k, part(qkv, 1)},
                    {uid_v, part(qkv, 2)},
                    {uid_out, out.data},
                    {uid_stats, log_sum_exp.data},
                    {uid_dout, dout.data},
                    {uid_dq, part(dqkv, 0)},
                    {uid_dk, part(dqkv, 1)},
                    {uid_dv, part(dqkv, 2)}});
  }

 private:
  using Graph = std::shared_ptr<fe::graph::Graph>;
  using Plans = std::map<std::array<std::int64_t, 4>, Graph>;

  static void* part(const Tensor& qkv, std::int64_t i) {
    return static_cast<std::byte*>(qkv.data) + i * qkv.dim(2) / 3 * static_cast<std::int64_t>(size_of(qkv.dtype));
  }

  static Graph empty_graph() {
    auto graph = std::make_shared<fe::graph::Graph>();
    graph->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    return graph;
  }
  static std::shared_ptr<fe::graph::Tensor_attributes> input(const Graph& graph, Uid uid,
                                                             const std::vector<std::int64_t>& dims,
                                                             const std::vector<std::int64_t>& strides) {
    return graph->tensor(fe::graph::Tensor_attributes().set_uid(uid).set_dim(dims).set_stride(strides));
  }
  static void output(const std::shared_ptr<fe::graph::Tensor_attributes>& tensor, Uid uid,
                     const std::vector<std::int64_t>& dims, const std::vector<std::int64_t>& strides) {
    tensor->set_output(true).set_uid(uid).set_dim(dims).set_stride(strides);
  }
  static std::vector<std::int64_t> stats_dims(const Shape& s) { return {s.samples, s.heads, s.tokens, 1}; }
  static std::vector<std::int64_t> stats_strides(const Shape& s) { return {s.heads * s.tokens, s.tokens, 1, 1}; }

  Graph forward_plan(const Shape& s) const {
    const Graph graph = empty_graph();
    const auto q = input(graph, uid_q, s.dims(), s.part_strides());
    const auto k = input(graph, uid_k, s.dims(), s.part_strides());
    const auto v = input(graph, uid_v, s.dims(), s.part_strides());
    const auto [out, stats] = graph->sdpa(
        q, k, v, fe::graph::SDPA_attributes().set_generate_stats(true).set_attn_scale(static_cast<float>(s.scale())));
    output(out, uid_out, s.dims(), s.row_strides());
    output(stats, uid_stats, stats_dims(s), stats_strides(s));
    stats->set_data_type(fe::DataType_t::FLOAT);
    return graph;
  }

  Graph backward_plan(const Shape& s) const {
    const Graph graph = empty_graph();
    const auto q = input(graph, uid_q, s.dims(), s.part_strides());
    const auto k = input(graph, uid_k, s.dims(), s.part_strides());
    const auto v = input(graph, uid_v, s.dims(), s.part_strides());
    const auto out = input(graph, uid_out, s.dims(), s.row_strides());
    const auto dout = input(graph, uid_dout, s.dims(), s.row_strides());
    const auto stats = input(graph, uid_stats, stats_dims(s), stats_strides(s));
    stats->set_data_type(fe::DataType_t::FLOAT);
    const auto [dq, dk, dv] = graph->sdpa_backward(q, k, v, out, dout, stats,
                                                   fe::graph::SDPA_backward_attributes()
                                                       .set_attn_scale(static_cast<float>(s.scale()))
                                                       .set_deterministic_algorithm(deterministic_));
    output(dq, uid_dq, s.dims(), s.part_strides());
    output(dk, uid_dk, s.dims(), s.part_strides());
    output(dv, uid_dv, s.dims(), s.part_strides());
    return graph;
  }

  /// The plan ready to run; null when cuDNN has no engine for it.
  Graph build(const Graph& graph) {
    if (graph->build(handle_, {fe::HeurMode_t::A}).is_bad()) return nullptr;
    std::int64_t bytes = 0;
    if (graph->get_workspace_size(bytes).is_bad()) return nullptr;
    scratch_.reserve(static_cast<std::size_t>(bytes));
    return graph;
  }

  bool execute(cudaStream_t stream, const Graph& graph, std::unordered_map<std::int64_t, void*> tensors) {
    if (graph == nullptr) return false;
    BLOCKTRAIN_CUDNN(cudnnSetStream(handle_, stream));
    auto status = graph->execute(handle_, tensors, scratch_.data());
    if (status.is_bad()) throw_library_error("cudnn_frontend execute", __FILE__, __LINE__, status.get_message());
    return true;
  }

  bool deterministic_;
  cudnnHandle_t handle_ = nullptr;
  Scratch scratch_;
  Plans forward_, backward_;
};

}  // namespace

std::unique_ptr<FusedAttention> make_fused_attention(bool deterministic) {
  return std::make_unique<CudnnAttention>(deterministic);
}

std::string fused_attention_facts() {
  const std::size_t v = cudnnGetVersion();
  return "cuDNN " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100) +
         " in bfloat16, own plain kernels in float32";
}

}  // namespace blocktrain::kernels::cuda
