// A vit block, by every way to train it, and the end-to-end network against PyTorch, tensor by tensor, from a committed
// fixture.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "blocks/architectures/vit.hpp"
#include "blocks/objectives/categorical.hpp"
#include "blocks/objectives/classification.hpp"
#include "blocks/parameters.hpp"
#include "tests/blocks/parity.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::HostTensor;
using test::Tolerance;
using test::values_of;

constexpr const char* table = "target_embedding.table";

struct Kind {
  const char* name;
  bool denoises;
  Evidence evidence = Evidence::analytic;
  bool trains_table = false;
};
constexpr Kind kinds[] = {{"analytic", true, Evidence::analytic, false},
                          {"learned", true, Evidence::learned, false},
                          {"analytic_trained", true, Evidence::analytic, true},
                          {"learned_trained", true, Evidence::learned, true},
                          {"end_to_end", false}};

VitConfig config_of(const test::Fixture& f, const Kind& kind) {
  VitConfig c;
  c.patch = static_cast<int>(f.integer("patch"));
  c.width = f.integer("width");
  c.heads = static_cast<int>(f.integer("heads"));
  c.mlp_ratio = f.integer("mlp_ratio");
  c.noise_features = f.integer("noise_features");
  c.sigma_data = f.number("sigma_data");
  c.dropout = 0;
  c.denoises = kind.denoises;
  return c;
}

SampleLayout layout_of(const test::Fixture& f) {
  return {{{"image", DType::float32, {f.integer("channels"), f.integer("height"), f.integer("width_px")}},
           {"label", DType::int32, {}}},
          1,
          f.integer("classes")};
}

std::unique_ptr<Block> block_of(const test::Fixture& f, const Kind& kind) {
  const BlockPlace place = kind.denoises ? BlockPlace{1, 2, 2, 2} : BlockPlace{0, 1, 0, 4};
  const VitConfig c = config_of(f, kind);
  const SampleLayout layout = layout_of(f);
  ParameterLayout parameters;
  auto network = make_vit(c, layout, place, parameters);
  auto objective = kind.denoises ? make_categorical({"label", c.width, c.sigma_data, kind.evidence, kind.trains_table},
                                                    layout, place, parameters)
                                 : make_classification({"label", c.width}, layout, place, parameters);
  return std::make_unique<Block>(place, std::move(network), std::move(objective), std::move(parameters));
}

class Case {
 public:
  Case(const test::Fixture& f, const Kind& kind, kernels::Ops& ops)
      : fixture_(f),
        kind_(kind),
        parity_(f, kind.name, block_of(f, kind), ops),
        width_(f.integer("width")),
        image_(ops.dtype(), {parity_.samples(), f.integer("channels"), f.integer("height"), f.integer("width_px")},
               f.at("input/image")),
        z_(ops.dtype(), {parity_.samples(), width_}),
        sigma_(ops.dtype(), {parity_.samples()}, f.at("input/sigma")),
        label_(DType::int32, {parity_.samples()}, f.at("input/label")) {}

  void check_forward_and_gradient(kernels::Ops& ops, const Tolerance& tolerance) {
    const HostTensor logits(ops.dtype(), {parity_.samples(), fixture_.integer("classes")});
    parity_.block()->estimate(ops, *logits, input());
    parity_.compare("logits", values_of(*logits), tolerance.forward);
    if (kind_.denoises) {
      const HostTensor d(ops.dtype(), {parity_.samples(), width_});
      parity_.block()->denoise(ops, *d, input());
      parity_.compare("d", values_of(*d), tolerance.forward);
    }
    const SampleLosses losses = parity_.check_gradient(input(), tolerance, kind_.trains_table ? "" : table);
    BOOST_TEST(values_of(losses.unweighted) == values_of(losses.loss), boost::test_tools::per_element());
  }

  void check_training(const Tolerance& tolerance) {
    parity_.check_training([&] { return input(); }, tolerance);
  }

 private:
  /// z = E[label] + sigma eps, by the table as it is now: the noisy targets move with it.
  void add_noise() {
    const auto& all = parity_.block()->parameters();
    const auto shared = std::ranges::find(all, table, &Parameter::name);
    BOOST_REQUIRE(shared != all.end() && shared->shared);
    const std::vector<double> rows = values_of(view_of(parity_.block().parameters(), *shared));
    const auto width = static_cast<std::size_t>(width_);
    for (std::size_t n = 0; n < fixture_.at("input/sigma").size(); ++n) {
      const double* row = rows.data() + static_cast<std::size_t>(fixture_.at("input/label")[n]) * width;
      const double length = std::sqrt(std::inner_product(row, row + width, row, 0.0));
      for (std::size_t i = 0; i < width; ++i) {
        const double noise = fixture_.at("input/sigma")[n] * fixture_.at("input/eps")[n * width + i];
        test::set(*z_, static_cast<std::int64_t>(n * width + i), row[i] / length + noise);
      }
    }
  }

  NetworkInput input() {
    NetworkInput in;
    in.batch = test::image_batch(*image_, *label_);
    if (!kind_.denoises) return in;
    add_noise();
    in.noisy = *z_;
    in.level = *sigma_;
    return in;
  }

  const test::Fixture& fixture_;
  Kind kind_;
  test::ParityCase parity_;
  std::int64_t width_;
  HostTensor image_, z_, sigma_, label_;
};

void check_all(kernels::Ops& ops, const Tolerance& tolerance) {
  const auto fixture = test::Fixture::read("tests/fixtures/vit/parity.safetensors");
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(kind.name << " on " << ops.name()) {
      Case(fixture, kind, ops).check_forward_and_gradient(ops, tolerance);
      Case(fixture, kind, ops).check_training(tolerance);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_reference_computes_vit_as_pytorch_does) {
  check_all(*kernels::make_reference_ops(), test::reference_tolerance);
}

BOOST_AUTO_TEST_CASE(the_cpu_computes_vit_as_pytorch_does) {
  check_all(*kernels::make_cpu_ops(2), test::cpu_tolerance);
}

}  // namespace blocktrain::blocks
