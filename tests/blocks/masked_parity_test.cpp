// A block of masked and the end-to-end network against PyTorch, tensor by tensor, from a committed fixture.
#include <boost/test/unit_test.hpp>

#include "tests/blocks/masked_case.hpp"
#include "tests/blocks/parity.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::HostTensor;
using test::Tolerance;
using test::values_of;

struct Kind {
  const char* name;
  BlockPlace place;
};
constexpr Kind kinds[] = {{"block", {1, 2, 2, 2}}, {"end_to_end", {0, 1, 0, 4}}};

std::unique_ptr<Block> block_of(const test::Fixture& f, const Kind& kind) {
  MaskedConfig c;
  c.context = f.integer("context");
  c.width = f.integer("width");
  c.heads = static_cast<int>(f.integer("heads"));
  c.mlp_ratio = f.integer("mlp_ratio");
  c.noise_features = f.integer("noise_features");
  return test::masked_block(c, kind.place, f.integer("classes"));
}

class Case {
 public:
  Case(const test::Fixture& f, const Kind& kind, kernels::Ops& ops)
      : parity_(f, kind.name, block_of(f, kind), ops, "input/level"),
        logits_(ops.dtype(), {parity_.samples(), f.integer("context"), f.integer("classes")}),
        tokens_(DType::int32, {parity_.samples(), f.integer("context")}, f.at("input/tokens")),
        noisy_(DType::int32, {parity_.samples(), f.integer("context")}, f.at("input/noisy")),
        level_(ops.dtype(), {parity_.samples()}, f.at("input/level")) {}

  void check_forward_and_gradient(kernels::Ops& ops, const Tolerance& tolerance) {
    parity_.block()->estimate(ops, *logits_, input());
    parity_.compare("logits", values_of(*logits_), tolerance.forward);
    parity_.check_gradient(input(), tolerance);
  }

  void check_training(const Tolerance& tolerance) {
    parity_.check_training([&] { return input(); }, tolerance);
  }

 private:
  NetworkInput input() const {
    NetworkInput in;
    in.batch.fields[0] = *tokens_;
    in.noisy = *noisy_;
    in.level = *level_;
    return in;
  }

  test::ParityCase parity_;
  HostTensor logits_, tokens_, noisy_, level_;
};

void check_all(kernels::Ops& ops, const Tolerance& tolerance) {
  const auto fixture = test::Fixture::read("tests/fixtures/masked/parity.safetensors");
  for (const Kind& kind : kinds) {
    BOOST_TEST_CONTEXT(kind.name << " on " << ops.name()) {
      Case(fixture, kind, ops).check_forward_and_gradient(ops, tolerance);
      Case(fixture, kind, ops).check_training(tolerance);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_reference_computes_masked_as_pytorch_does) {
  check_all(*kernels::make_reference_ops(), test::reference_tolerance);
}

BOOST_AUTO_TEST_CASE(the_cpu_computes_masked_as_pytorch_does) {
  check_all(*kernels::make_cpu_ops(2), test::cpu_tolerance);
}

}  // namespace
}  // namespace blocktrain::blocks
