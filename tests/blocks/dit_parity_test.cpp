// A block and the end-to-end network against PyTorch, tensor by tensor, from a committed fixture.
#include <boost/test/unit_test.hpp>

#include "tests/blocks/parity.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::DType;
using test::HostTensor;
using test::Tolerance;
using test::values_of;

DitConfig config_of(const test::Fixture& f) {
  DitConfig c;
  c.channels = f.integer("channels");
  c.height = f.integer("height");
  c.width_px = f.integer("width_px");
  c.patch = static_cast<int>(f.integer("patch"));
  c.classes = f.integer("classes");
  c.width = f.integer("width");
  c.heads = static_cast<int>(f.integer("heads"));
  c.mlp_ratio = f.integer("mlp_ratio");
  c.noise_features = f.integer("noise_features");
  c.sigma_data = f.number("sigma_data");
  return c;
}

std::vector<double> noisy(const test::Fixture& f, const DitConfig& c) {
  std::vector<double> z = f.at("input/y");
  for (std::size_t i = 0; i < z.size(); ++i) {
    z[i] += f.at("input/sigma")[i / static_cast<std::size_t>(c.image_elements())] * f.at("input/eps")[i];
  }
  return z;
}

void check_case(const std::string& name, const BlockPlace& place, kernels::Ops& ops, const Tolerance& tolerance) {
  const auto fixture = test::Fixture::read("tests/fixtures/dit/parity.safetensors");
  const DitConfig config = config_of(fixture);
  const auto make = [&] { return test::ParityCase(fixture, name, test::dit_block(config, place), ops); };
  const test::ParityCase first = make();

  const std::int64_t n = first.samples();
  const auto image = [&](const std::vector<double>& values) {
    return HostTensor(ops.dtype(), {n, config.channels, config.height, config.width_px}, values);
  };
  const HostTensor y = image(fixture.at("input/y")), z = image(noisy(fixture, config));
  const HostTensor sigma(ops.dtype(), {n}, fixture.at("input/sigma")),
      label(DType::int32, {n}, fixture.at("input/label"));
  const NetworkInput input = test::noisy_images(*z, *sigma, test::image_batch(*y, *label));

  const HostTensor d(ops.dtype(), {n, config.channels, config.height, config.width_px});
  first.block()->denoise(ops, *d, input);
  first.compare("d", values_of(*d), tolerance.forward);
  const SampleLosses losses = first.check_gradient(input, tolerance);
  first.compare("mse", values_of(losses.unweighted), tolerance.forward);
  make().check_training([&] { return input; }, tolerance);
}

void check_all(kernels::Ops& ops, const Tolerance& tolerance) {
  for (const auto& [name, place] :
       {std::pair{"block", BlockPlace{1, 2, 2, 2}}, std::pair{"end_to_end", BlockPlace{0, 1, 0, 4}}}) {
    BOOST_TEST_CONTEXT(name << " on " << ops.name()) { check_case(name, place, ops, tolerance); }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_reference_computes_dit_as_pytorch_does) {
  check_all(*kernels::make_reference_ops(), test::reference_tolerance);
}

BOOST_AUTO_TEST_CASE(the_cpu_computes_dit_as_pytorch_does) {
  check_all(*kernels::make_cpu_ops(2), test::cpu_tolerance);
}

}  // namespace blocktrain::blocks
