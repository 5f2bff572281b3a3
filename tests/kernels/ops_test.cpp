// Ops refuses operands that do not fit, once for every device: one wrong operand at a time, of calls that are right
// without it.
#include "kernels/ops.hpp"

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

namespace blocktrain::kernels {
namespace {

/// The operands of a call, float32 unless said, each in memory of its own.
class Wrong {
 public:
  explicit Wrong(int at) : at_(at) {}
  /// What is done to the operand whose turn it is, of those that every operand suffers from.
  enum Fault { none, type, more_rows, wider, gap, faults };
  static constexpr const char* names[] = {"nothing", "another type", "a row more", "a column more", "rows apart"};

  Tensor operator()(std::initializer_list<std::int64_t> dims, DType dtype = DType::float32) {
    const int turn = count_++;
    Tensor t(memory_ + room * turn, dtype, dims);
    if (at_ < 0 || turn != at_ / faults) return t;
    const Tensor right = t;
    const Fault fault = static_cast<Fault>(at_ % faults);
    if (fault == type) t.dtype = dtype == DType::int32 ? DType::float32 : DType::int32;
    if (fault == more_rows) ++t.shape[0];
    if (fault == wider) ++t.shape[static_cast<std::size_t>(t.rank - 1)];
    if (fault == wider) t.row_stride = t.row_size();
    if (fault == gap && t.rank > 1) t.row_stride += 4;
    changed = t.dtype != right.dtype || t.shape != right.shape || t.row_stride != right.row_stride;
    return t;
  }
  /// Zeros, in int32.
  Tensor index(std::int64_t count) { return (*this)({count}, DType::int32); }
  int count() const { return count_; }
  bool changed = false;  ///< something is wrong with an operand

 private:
  static constexpr std::int64_t room = 4096;  ///< bytes of an operand
  int at_, count_ = 0;
  alignas(64) std::byte memory_[room * 16] = {};
};

struct Call {
  const char* name;
  std::function<void(Ops&, Wrong&)> call;
  /// Faults that are none to this call, with the operand.
  std::vector<std::pair<int, Wrong::Fault>> accepted = {};
};

StepState state;

const std::vector<Call> calls{
    {"copy",
     [](Ops& ops, Wrong& w) {
       const Tensor a = w({2, 3}), b = w({2, 3});
       ops.copy(a, b);
     },
     {{0, Wrong::gap}, {1, Wrong::gap}}},
    {"add",
     [](Ops& ops, Wrong& w) {
       const Tensor a = w({2, 3}), b = w({2, 3});
       ops.add(a, b);
     },
     {{0, Wrong::gap}, {1, Wrong::gap}}},
    {"axpby",
     [](Ops& ops, Wrong& w) {
       const Tensor a = w({2, 3}), b = w({2, 3}), c = w({2, 3});
       ops.axpby(a, 1, b, 1, c);
     }},
    {"matmul",
     [](Ops& ops, Wrong& w) {
       const Tensor c = w({2, 3}), a = w({2, 4}), b = w({3, 4});
       ops.matmul(c, a, false, b, true, false);
     },
     {{0, Wrong::gap}, {1, Wrong::gap}, {2, Wrong::gap}}},
    {"linear_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3}), x = w({2, 4}), weight = w({3, 4}), bias = w({3});
       ops.linear_forward(out, x, weight, bias);
     },
     {{0, Wrong::gap}, {1, Wrong::gap}}},
    {"linear_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dx = w({2, 4}), dweight = w({3, 4}), dbias = w({3}), dy = w({2, 3}), x = w({2, 4}),
                    weight = w({3, 4});
       ops.linear_backward(dx, dweight, dbias, dy, x, weight, false, GradientWrite::add);
     },
     {{0, Wrong::gap}, {3, Wrong::gap}, {4, Wrong::gap}}},
    {"linear_gelu_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3}), pre = w({2, 3}), x = w({2, 4}), weight = w({3, 4}), bias = w({3});
       ops.linear_gelu_forward(out, pre, x, weight, bias);
     }},
    {"gelu_linear_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dpre = w({2, 4}), sums = w({4}), dweight = w({3, 4}), dbias = w({3}), dy = w({2, 3}),
                    pre = w({2, 4}), weight = w({3, 4});
       ops.gelu_linear_backward(dpre, sums, dweight, dbias, dy, pre, weight, false, GradientWrite::add);
     }},
    {"gelu_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor a = w({2, 3}), b = w({2, 3}), c = w({2, 3});
       ops.gelu_backward(a, b, c);
     }},
    {"silu_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor a = w({2, 3}), b = w({2, 3});
       ops.silu_forward(a, b);
     }},
    {"norm_modulate_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3, 4}), mean = w({2, 3}), rstd = w({2, 3}), x = w({2, 3, 4}), shift = w({2, 4}),
                    scale = w({2, 4});
       ops.norm_modulate_forward(out, mean, rstd, x, shift, scale, 1e-6);
     },
     {{4, Wrong::gap}, {5, Wrong::gap}}},
    {"norm_modulate_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dx = w({2, 3, 4}), dshift = w({2, 4}), dscale = w({2, 4}), dout = w({2, 3, 4}), x = w({2, 3, 4}),
                    mean = w({2, 3}), rstd = w({2, 3}), scale = w({2, 4});
       ops.norm_modulate_backward(dx, dshift, dscale, dout, x, mean, rstd, scale);
     },
     {{1, Wrong::gap}, {2, Wrong::gap}, {7, Wrong::gap}}},
    {"gated_residual_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3, 4}), x = w({2, 3, 4}), h = w({2, 3, 4}), gate = w({2, 4});
       ops.gated_residual_forward(out, x, h, gate);
     },
     {{3, Wrong::gap}}},
    {"gated_residual_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dh = w({2, 3, 4}), dgate = w({2, 4}), dout = w({2, 3, 4}), h = w({2, 3, 4}), gate = w({2, 4});
       ops.gated_residual_backward(dh, dgate, dout, h, gate);
     },
     {{1, Wrong::gap}, {4, Wrong::gap}}},
    {"attention_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3, 8}), sums = w({2, 4, 3}), q = w({6, 8}), k = w({2, 5, 4}), v = w({10, 4});
       ops.attention_forward(out, sums, q, k, v, {4, 2, AttentionMask::causal(2), false});
     },
     {{0, Wrong::gap}, {2, Wrong::gap}, {3, Wrong::gap}, {4, Wrong::gap}}},
    {"attention_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dq = w({6, 8}), dk = w({10, 4}), dv = w({10, 4}), dout = w({2, 3, 8}), out = w({2, 3, 8}),
                    sums = w({2, 4, 3}), q = w({6, 8}), k = w({10, 4}), v = w({10, 4});
       ops.attention_backward(dq, dk, dv, dout, out, sums, q, k, v, {4, 2, {}, false}, GradientWrite::add,
                              GradientWrite::add);
     },
     {{0, Wrong::gap},
      {1, Wrong::gap},
      {2, Wrong::gap},
      {3, Wrong::gap},
      {4, Wrong::gap},
      {6, Wrong::gap},
      {7, Wrong::gap},
      {8, Wrong::gap}}},
    {"attention_merge",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({6, 8}), sums = w({2, 4, 3}), a = w({6, 8}), sa = w({2, 4, 3}), b = w({2, 3, 8}),
                    sb = w({2, 4, 3});
       ops.attention_merge(out, sums, a, sa, b, sb);
     },
     {{0, Wrong::gap}, {2, Wrong::gap}, {4, Wrong::gap}}},
    {"rotary",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({6, 8}), x = w({6, 8}), angles = w({3, 4});
       ops.rotary(out, x, angles, false);
     },
     {{0, Wrong::gap}, {1, Wrong::gap}}},
    {"embedding_forward",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({5, 4}), table = w({3, 4}), index = w.index(5), rows = w.index(2);
       ops.embedding_forward(out, table, index, rows);
     },
     {{1, Wrong::more_rows}, {3, Wrong::more_rows}, {3, Wrong::wider}}},
    {"embedding_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dtable = w({3, 4}), dout = w({5, 4}), index = w.index(5), rows = w.index(2);
       ops.embedding_backward(dtable, dout, index, rows);
     },
     {{0, Wrong::more_rows}, {3, Wrong::more_rows}, {3, Wrong::wider}}},
    {"add_rows",
     [](Ops& ops, Wrong& w) {
       const Tensor x = w({2, 3, 4}), row = w({3, 4});
       ops.add_rows(x, row);
     },
     {{0, Wrong::more_rows}}},
    {"noise_features",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 4}), sigma = w({2});
       ops.noise_features(out, sigma);
     }},
    {"patchify",
     [](Ops& ops, Wrong& w) {
       const Tensor tokens = w({2, 4, 12}), image = w({2, 3, 4, 4}), sigma = w({2});
       ops.patchify(tokens, image, 2, sigma, 0.5);
     }},
    {"unpatchify",
     [](Ops& ops, Wrong& w) {
       const Tensor image = w({2, 3, 4, 4}), tokens = w({2, 4, 12});
       ops.unpatchify(image, tokens, 2);
     }},
    {"add_noise",
     [](Ops& ops, Wrong& w) {
       const Tensor z = w({2, 3}), y = w({2, 3}), sigma = w({2});
       ops.add_noise(z, y, sigma, {}, &state, 0);
     }},
    {"drop_labels",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w.index(3), in = w.index(3);
       ops.drop_labels(out, in, 0, 0.5, {}, nullptr, 0);
     }},
    {"denoised",
     [](Ops& ops, Wrong& w) {
       const Tensor d = w({2, 3}), z = w({2, 3}), f = w({2, 3}), sigma = w({2});
       ops.denoised(d, z, f, sigma, 0.5);
     }},
    {"denoise_loss",
     [](Ops& ops, Wrong& w) {
       const Tensor loss = w({2}), mse = w({2}), df = w({2, 3}), z = w({2, 3}), y = w({2, 3}), f = w({2, 3}),
                    sigma = w({2});
       ops.denoise_loss(loss, mse, df, z, y, f, sigma, 0.5, LossWeighting::edm, 1);
     }},
    {"add_losses",
     [](Ops& ops, Wrong& w) {
       const Tensor loss = w({2}), mse = w({2});
       ops.add_losses(&state, loss, mse);
     }},
    {"cross_entropy",
     [](Ops& ops, Wrong& w) {
       const Tensor loss = w({3}), dlogits = w({3, 5}), logits = w({3, 5}), label = w.index(3), rows = w.index(2),
                    weights = w({3});
       ops.cross_entropy(loss, dlogits, logits, label, 1, rows, ignored_index, weights);
     },
     {{4, Wrong::more_rows}, {4, Wrong::wider}}},
    {"normalise_rows",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3}), norm = w({2}), table = w({2, 3});
       ops.normalise_rows(out, norm, table);
     }},
    {"normalise_rows_backward",
     [](Ops& ops, Wrong& w) {
       const Tensor dtable = w({2, 3}), dout = w({2, 3}), out = w({2, 3}), norm = w({2});
       ops.normalise_rows_backward(dtable, dout, out, norm);
     }},
    {"scale_by_level",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3}), x = w({2, 3}), sigma = w({2});
       ops.scale_by_level(out, x, sigma, LevelFactor::input, 0.5, true);
     }},
    {"softmax",
     [](Ops& ops, Wrong& w) {
       const Tensor p = w({2, 3}), logits = w({2, 3});
       ops.softmax(p, logits);
     }},
    {"dropout",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2, 3}), x = w({2, 3});
       ops.dropout(out, x, 0.5, {}, &state, 0);
     }},
    {"mask_tokens",
     [](Ops& ops, Wrong& w) {
       const Tensor noisy = w({2, 6}, DType::int32), tokens = w({2, 6}, DType::int32), level = w({2, 3});
       ops.mask_tokens(noisy, tokens, level, 5, {}, &state, 0);
     }},
    {"list_masked",
     [](Ops& ops, Wrong& w) {
       const Tensor rows = w.index(4), labels = w.index(4), weights = w({4}), places = w({2, 6}, DType::int32),
                    noisy = w({2, 6}, DType::int32), tokens = w({2, 6}, DType::int32), level = w({2});
       ops.list_masked(rows, labels, weights, places, noisy, tokens, level, 0);
     }},
    {"sum_listed",
     [](Ops& ops, Wrong& w) {
       const Tensor out = w({2}), x = w({4}), weights = w({4}), places = w({2, 3}, DType::int32);
       ops.sum_listed(out, x, weights, places);
     },
     {{3, Wrong::wider}}},
    {"adamw",
     [](Ops& ops, Wrong& w) {
       const Tensor p = w({4}), m = w({4}), v = w({4}), g = w({4});
       ops.adamw(p, m, v, {}, g, &state, {});
     }},
    {"exponential_average",
     [](Ops& ops, Wrong& w) {
       const Tensor average = w({4}), p = w({4});
       ops.exponential_average(average, p, 0.5, &state);
     }},
};

BOOST_AUTO_TEST_CASE(each_wrong_operand_is_refused) {
  const std::unique_ptr<Ops> ops = make_cpu_ops(1);
  for (const Call& c : calls) {
    // With the fault `at`: whether the call was refused, and how many operands it has.
    const auto refused = [&](int at, bool& changed, int& operands) {
      const auto wrong = std::make_unique<Wrong>(at);
      bool threw = false;
      try {
        c.call(*ops, *wrong);
      } catch (const std::logic_error&) {
        threw = true;
      }
      changed = wrong->changed;
      operands = wrong->count();
      return threw;
    };
    bool changed = false;
    int operands = 0;
    BOOST_TEST(!refused(-1, changed, operands), c.name << " with operands that fit");
    for (int at = 0; at < operands * Wrong::faults; ++at) {
      const auto fault = static_cast<Wrong::Fault>(at % Wrong::faults);
      const int operand = at / Wrong::faults;
      bool accepted = false;
      for (const auto& [o, f] : c.accepted) accepted = accepted || (o == operand && f == fault);
      int count = 0;
      const bool was_refused = refused(at, changed, count);
      BOOST_TEST(was_refused == (changed && !accepted),
                 c.name << ": operand " << operand << " with " << Wrong::names[fault]);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_written_may_not_be_what_is_read) {
  const std::unique_ptr<Ops> ops = make_cpu_ops(1);
  float numbers[64] = {}, others[64] = {}, more[64] = {};
  const Tensor a(numbers, DType::float32, {4, 4}), b(others, DType::float32, {4, 4}), c(more, DType::float32, {4, 4});
  BOOST_CHECK_THROW(ops->matmul(a, a, false, b, false, false), std::logic_error);
  BOOST_CHECK_THROW(ops->matmul(a, b, false, a, false, false), std::logic_error);
  BOOST_CHECK_THROW(ops->linear_forward(a, a, b, {}), std::logic_error);
  BOOST_CHECK_THROW(ops->linear_backward(a, c, {}, a, b, b, false, GradientWrite::add), std::logic_error);
  BOOST_CHECK_THROW(ops->adamw(a, b, b, {}, c, &state, {}), std::logic_error);
  BOOST_CHECK_THROW(ops->add_rows(a, a), std::logic_error);
  const Tensor sums(more, DType::float32, {1, 1, 4});
  BOOST_CHECK_THROW(ops->attention_forward(a, sums, a, b, b, {}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(shares_of_dropout_are_below_one) {
  const std::unique_ptr<Ops> ops = make_cpu_ops(1);
  float numbers[4] = {};
  const Tensor x(numbers, DType::float32, {2, 2});
  BOOST_CHECK_NO_THROW(ops->dropout(x, x, 0.0, {}, &state, 0));
  BOOST_CHECK_THROW(ops->dropout(x, x, 1.0, {}, &state, 0), std::logic_error);
  BOOST_CHECK_THROW(ops->dropout(x, x, -0.1, {}, &state, 0), std::logic_error);
  BOOST_CHECK_THROW(ops->dropout(x, x, 0.5, {}, nullptr, 0), std::logic_error);
}

BOOST_AUTO_TEST_CASE(numbers_that_make_no_sense_are_refused) {
  const std::unique_ptr<Ops> ops = make_cpu_ops(1);
  float numbers[64] = {}, others[64] = {}, more[64] = {}, rest[64] = {};
  const Tensor q(numbers, DType::float32, {4, 4}), k(others, DType::float32, {4, 4}), out(rest, DType::float32, {4, 4});
  const Tensor sums(more, DType::float32, {1, 2, 4});
  const auto attend = [&](const AttentionForm& form) { ops->attention_forward(out, sums, q, k, k, form); };
  BOOST_CHECK_NO_THROW(attend({2, 2, {}, false}));
  BOOST_CHECK_THROW(attend({2, 0, {}, false}), std::logic_error);
  BOOST_CHECK_THROW(attend({2, 4, {}, false}), std::logic_error);
  BOOST_CHECK_THROW(attend({1, 1, {}, false}), std::logic_error);  // log_sum_exp has two heads
  BOOST_CHECK_THROW(attend({2, 1, {}, false}), std::logic_error);  // k has two
  BOOST_CHECK_THROW(attend({2, 2, AttentionMask::causal(-1), false}), std::logic_error);
  const Tensor image(numbers, DType::float32, {1, 1, 4, 4}), tokens(others, DType::float32, {1, 1, 9});
  BOOST_CHECK_THROW(ops->patchify(tokens, image, 3, {}, 0.5), std::logic_error);
  BOOST_CHECK_THROW(ops->patchify(tokens, image, 0, {}, 0.5), std::logic_error);
  const SigmaInterval backwards{.lo = 2, .hi = 1}, none{.lo = 0, .hi = 1};
  const Tensor sigma(numbers, DType::float32, {4});
  BOOST_CHECK_THROW(ops->draw_sigma(sigma, &backwards, {}, &state, 0), std::logic_error);
  BOOST_CHECK_THROW(ops->draw_sigma(sigma, &none, {}, &state, 0), std::logic_error);
  BOOST_CHECK_THROW(ops->draw_sigma(sigma, nullptr, {}, &state, 0), std::logic_error);
  const auto draw = [&](const SigmaInterval* interval, std::int64_t of_tokens, std::int64_t samples) {
    ops->draw_mask_levels(sigma, interval, of_tokens, {}, &state, 0, samples);
  };
  const SigmaInterval masks{.lo = 0, .hi = 1}, no_masks{.lo = 1, .hi = 1};
  BOOST_CHECK_NO_THROW(draw(&masks, 2, 4));
  BOOST_CHECK_THROW(draw(&no_masks, 2, 4), std::logic_error);
  BOOST_CHECK_THROW(draw(nullptr, 2, 4), std::logic_error);
  BOOST_CHECK_THROW(draw(&masks, 0, 4), std::logic_error);
  BOOST_CHECK_THROW(draw(&masks, 2, 0), std::logic_error);
  const Tensor odd(others, DType::float32, {4, 3});
  BOOST_CHECK_THROW(ops->rotary(q, k, odd, false), std::logic_error);
  const Tensor p(numbers, DType::float32, {4}), m(others, DType::float32, {4}), v(more, DType::float32, {4});
  const Tensor g(rest, DType::float32, {4});
  for (const std::vector<ElementRange>& ranges : {std::vector<ElementRange>{{2, 2}}, {{0, 5}}, {{2, 3}, {1, 2}}}) {
    AdamWParameters parameters;
    parameters.undecayed = ranges;
    BOOST_CHECK_THROW(ops->adamw(p, m, v, {}, g, &state, parameters), std::logic_error);
  }
}

}  // namespace
}  // namespace blocktrain::kernels
