#include <cudnn.h>
#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/fused_attention.hpp"
#include "kernels/gpu_scratch.hpp"

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
enum Uid : std::int64_t { uid_q = 1, uid_k, uid_v, uid_out, uid_stats, uid_dout, uid_dq, uid_dk, uid_dv, uid_lengths };

/// The first cuDNN whose gradient runs right in a CUDA graph at every number of tokens (release notes of its frontend
/// 1.16), as cudnnGetVersion() counts.
constexpr std::size_t first_version = 91501;

std::string version_text(std::size_t v) {
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
}

/// Device memory that plans ask for, taken when they are built, which is before any step is captured. What a captured
/// step was given stays until the end.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() {
    for (void* const piece : pieces_) cudaFree(piece);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    void* piece = nullptr;
    BLOCKTRAIN_CUDA(cudaMalloc(&piece, bytes));
    pieces_.push_back(piece);
    bytes_ = bytes;
  }
  void* data() const { return pieces_.empty() ? nullptr : pieces_.back(); }

 private:
  std::vector<void*> pieces_;
  std::size_t bytes_ = 0;
};

/// How a plan's tensors lie: of q, k, v, out, and of dout, dq, dk, dv in the gradient.
enum Part : std::size_t { part_q, part_k, part_v, part_out, part_dout, part_dq, part_dk, part_dv, parts };

/// What a plan is made for.
struct Shape {
  Shape(const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
        const AttentionForm& form)
      : samples(log_sum_exp.dim(0)),
        tokens(log_sum_exp.dim(2)),
        width(token_width(q)),
        heads(form.heads),
        head_width(width / heads) {
    set(part_q, q);
    set(part_k, k);
    set(part_v, v);
    set(part_out, out);
  }
  void set(Part part, const Tensor& t) { strides[part] = token_strides(t, samples); }
  using Key = std::array<std::int64_t, 4 + 2 * parts>;
  Key key() const {
    Key all{samples, tokens, width, heads};
    for (std::size_t p = 0; p < parts; ++p) {
      all[4 + 2 * p] = strides[p].sample;
      all[5 + 2 * p] = strides[p].token;
    }
    return all;
  }
  double scale() const { return 1 / std::sqrt(static_cast<double>(head_width)); }
  std::vector<std::int64_t> dims() const { return {samples, heads, tokens, head_width}; }
  std::vector<std::int64_t> strides_of(Part part) const {
    return {strides[part].sample, head_width, strides[part].token, 1};
  }
  /// cuDNN's gradient on Hopper reads past the last token in half of a tile of 128 (9.20 does, and later ones), which
  /// makes NaN of very low scores. It does not where it is told how long sequences are.
  bool needs_lengths() const { return tokens % 128 == 64; }
  std::int64_t samples, tokens, width, heads, head_width;
  std::array<TokenStrides, parts> strides{};
};

/// The number of tokens of every sample, for a plan that is to be told.
class Lengths {
 public:
  explicit Lengths(const Shape& shape) {
    const std::vector<std::int32_t> all(static_cast<std::size_t>(shape.samples),
                                        static_cast<std::int32_t>(shape.tokens));
    BLOCKTRAIN_CUDA(cudaMalloc(&memory_, all.size() * sizeof(std::int32_t)));
    const cudaError_t status =
        cudaMemcpy(memory_, all.data(), all.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice);
    if (status != cudaSuccess) cudaFree(memory_);
    BLOCKTRAIN_CUDA(status);
  }
  ~Lengths() { cudaFree(memory_); }
  Lengths(const Lengths&) = delete;
  Lengths& operator=(const Lengths&) = delete;
  void* data() const { return memory_; }

 private:
  void* memory_ = nullptr;
};

class CudnnAttention final : public FusedAttention {
 public:
  explicit CudnnAttention(bool deterministic) : deterministic_(deterministic) {
    if (cudnnGetVersion() < first_version) {
      complain("it is " + version_text(cudnnGetVersion()) + ", and gradients need " + version_text(first_version) +
               " or later");
      return;
    }
    BLOCKTRAIN_CUDNN(cudnnCreate(&handle_));
  }
  ~CudnnAttention() override {
    forward_.clear();
    backward_.clear();
    if (handle_ != nullptr) cudnnDestroy(handle_);
  }
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  bool forward(cudaStream_t stream, const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k,
               const Tensor& v, const AttentionForm& form) override {
    if (!fused_attention_serves(log_sum_exp, q, k, form)) return false;
    const Shape shape(log_sum_exp, q, k, v, out, form);
    const Graph graph = plan(forward_, shape, "attention", &CudnnAttention::forward_plan);
    return graph != nullptr &&
           execute(
               stream, graph,
               {{uid_q, q.data}, {uid_k, k.data}, {uid_v, v.data}, {uid_out, out.data}, {uid_stats, log_sum_exp.data}});
  }

  bool backward(cudaStream_t stream, const Workspace&, const FusedGradient& gradient, const Tensor& dout,
                const Tensor& out, const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                const AttentionForm& form) override {
    if (!fused_attention_serves(log_sum_exp, q, k, form)) return false;
    if (gradient.write_dq == GradientWrite::add || gradient.write_dkv == GradientWrite::add) return false;
    const std::int64_t samples = log_sum_exp.dim(0), heads = form.heads, tokens = log_sum_exp.dim(2);
    const std::int64_t at_once = deterministic_ ? attention_samples_at_once(samples, heads, tokens) : samples;
    // Its frontend puts a sum of every row in front of what the gradient's kernels use, which is to begin at 16 bytes.
    for (const std::int64_t part : {at_once, samples % at_once}) {
      if (!deterministic_ || part * heads * tokens % 4 == 0) continue;
      if (!std::exchange(told_of_odd_rows_, true)) {
        complain("its deterministic gradient of " + std::to_string(part) + " samples, " + std::to_string(heads) +
                 " heads and " + std::to_string(tokens) + " tokens: their product is no multiple of 4");
      }
      return false;
    }
    for (std::int64_t begin = 0; begin < samples; begin += at_once) {
      const std::int64_t end = std::min(begin + at_once, samples);
      const auto some = [&](const Tensor& t) { return samples_of(t, samples, begin, end); };
      const FusedGradient own{some(gradient.dq), some(gradient.dk), some(gradient.dv), gradient.write_dq,
                              gradient.write_dkv};
      if (!backward_of(stream, own, some(dout), some(out), log_sum_exp.rows(begin, end), some(q), some(k), some(v),
                       form)) {
        return false;
      }
    }
    return true;
  }

 private:
  using Graph = std::shared_ptr<fe::graph::Graph>;
  using Plans = std::map<Shape::Key, Graph>;
  using MakePlan = Graph (CudnnAttention::*)(const Shape&, fe::AttentionImplementation_t) const;

  /// Samples [begin, end) of a tensor [N,T,C] or [N*T,C].
  static Tensor samples_of(const Tensor& t, std::int64_t samples, std::int64_t begin, std::int64_t end) {
    const std::int64_t rows = t.rank == 3 ? 1 : tokens_of(t, samples);
    return t.rows(begin * rows, end * rows);
  }

  bool backward_of(cudaStream_t stream, const FusedGradient& gradient, const Tensor& dout, const Tensor& out,
                   const Tensor& log_sum_exp, const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionForm& form) {
    Shape shape(log_sum_exp, q, k, v, out, form);
    shape.set(part_dout, dout);
    shape.set(part_dq, gradient.dq);
    shape.set(part_dk, gradient.dk);
    shape.set(part_dv, gradient.dv);
    const Graph graph = plan(backward_, shape, "attention's gradient", &CudnnAttention::backward_plan);
    if (graph == nullptr) return false;
    std::unordered_map<std::int64_t, void*> tensors{{uid_q, q.data},
                                                    {uid_k, k.data},
                                                    {uid_v, v.data},
                                                    {uid_out, out.data},
                                                    {uid_stats, log_sum_exp.data},
                                                    {uid_dout, dout.data},
                                                    {uid_dq, gradient.dq.data},
                                                    {uid_dk, gradient.dk.data},
                                                    {uid_dv, gradient.dv.data}};
    if (shape.needs_lengths()) {
      std::unique_ptr<Lengths>& lengths = lengths_[{shape.samples, shape.tokens}];
      if (lengths == nullptr) lengths = std::make_unique<Lengths>(shape);
      tensors[uid_lengths] = lengths->data();
    }
    return execute(stream, graph, std::move(tensors));
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

  Graph forward_plan(const Shape& s, fe::AttentionImplementation_t implementation) const {
    const Graph graph = empty_graph();
    const auto q = input(graph, uid_q, s.dims(), s.strides_of(part_q));
    const auto k = input(graph, uid_k, s.dims(), s.strides_of(part_k));
    const auto v = input(graph, uid_v, s.dims(), s.strides_of(part_v));
    const auto [out, stats] = graph->sdpa(q, k, v,
                                          fe::graph::SDPA_attributes()
                                              .set_generate_stats(true)
                                              .set_attn_scale(static_cast<float>(s.scale()))
                                              .set_implementation(implementation));
    output(out, uid_out, s.dims(), s.strides_of(part_out));
    output(stats, uid_stats, stats_dims(s), stats_strides(s));
    stats->set_data_type(fe::DataType_t::FLOAT);
    return graph;
  }

  Graph backward_plan(const Shape& s, fe::AttentionImplementation_t) const {
    const Graph graph = empty_graph();
    const auto q = input(graph, uid_q, s.dims(), s.strides_of(part_q));
    const auto k = input(graph, uid_k, s.dims(), s.strides_of(part_k));
    const auto v = input(graph, uid_v, s.dims(), s.strides_of(part_v));
    const auto out = input(graph, uid_out, s.dims(), s.strides_of(part_out));
    const auto dout = input(graph, uid_dout, s.dims(), s.strides_of(part_dout));
    const auto stats = input(graph, uid_stats, stats_dims(s), stats_strides(s));
    stats->set_data_type(fe::DataType_t::FLOAT);
    auto attributes = fe::graph::SDPA_backward_attributes()
                          .set_attn_scale(static_cast<float>(s.scale()))
                          .set_deterministic_algorithm(deterministic_);
    if (s.needs_lengths()) {
      const auto lengths = input(graph, uid_lengths, {s.samples, 1, 1, 1}, {1, 1, 1, 1});
      lengths->set_data_type(fe::DataType_t::INT32);
      attributes.set_padding_mask(true).set_seq_len_q(lengths).set_seq_len_kv(lengths);
    }
    const auto [dq, dk, dv] = graph->sdpa_backward(q, k, v, out, dout, stats, attributes);
    output(dq, uid_dq, s.dims(), s.strides_of(part_dq));
    output(dk, uid_dk, s.dims(), s.strides_of(part_dk));
    output(dv, uid_dv, s.dims(), s.strides_of(part_dv));
    return graph;
  }

  /// The plan for a shape, ready to run; null when cuDNN has none, which is said once.
  Graph plan(Plans& plans, const Shape& shape, const std::string& what, MakePlan make) {
    if (handle_ == nullptr) return nullptr;
    const auto [at, fresh] = plans.try_emplace(shape.key());
    if (!fresh) return at->second;
    std::string why;
    // What the frontend would choose itself, and then the older form, which more versions of cuDNN build.
    for (const auto implementation : {fe::AttentionImplementation_t::AUTO, fe::AttentionImplementation_t::COMPOSITE}) {
      at->second = build([&] { return (this->*make)(shape, implementation); }, why);
      if (at->second != nullptr) return at->second;
    }
    complain("no plan for " + what + " of " + std::to_string(shape.heads) + " heads of " +
             std::to_string(shape.head_width) + " over " + std::to_string(shape.tokens) + " tokens: " + why);
    return nullptr;
  }

  template <class Make>
  Graph build(const Make& make, std::string& why) {
    try {
      const Graph graph = make();
      auto status = graph->build(handle_, {fe::HeurMode_t::A});
      std::int64_t bytes = 0;
      if (status.is_good()) status = graph->get_workspace_size(bytes);
      if (status.is_bad()) {
        why = status.get_message();
        return nullptr;
      }
      scratch_.reserve(static_cast<std::size_t>(bytes));
      return graph;
    } catch (const LibraryError&) {
      throw;  // of CUDA, not of the frontend
    } catch (const std::exception& e) {
      why = e.what();
      return nullptr;
    }
  }

  static void complain(const std::string& what) {
    std::fprintf(stderr, "blocktrain: cuDNN does not compute attention here: %s; plain kernels do, slowly\n",
                 what.c_str());
  }

  bool execute(cudaStream_t stream, const Graph& graph, std::unordered_map<std::int64_t, void*> tensors) {
    BLOCKTRAIN_CUDNN(cudnnSetStream(handle_, stream));
    auto status = graph->execute(handle_, tensors, scratch_.data());
    if (status.is_bad()) throw_library_error("cudnn_frontend execute", __FILE__, __LINE__, status.get_message());
    return true;
  }

  bool deterministic_, told_of_odd_rows_ = false;
  cudnnHandle_t handle_ = nullptr;
  Scratch scratch_;
  Plans forward_, backward_;
  std::map<std::array<std::int64_t, 2>, std::unique_ptr<Lengths>> lengths_;  ///< by samples and tokens
};

}  // namespace

std::unique_ptr<FusedAttention> make_fused_attention(bool deterministic) {
  return std::make_unique<CudnnAttention>(deterministic);
}

std::string fused_attention_facts() {
  return "cuDNN " + version_text(cudnnGetVersion()) + " in bfloat16, own plain kernels in float32";
}

}  // namespace blocktrain::kernels::cuda
