#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/kernels/op_case.hpp"

using namespace blocktrain::kernels;
using namespace blocktrain::kernels::testing;

namespace {

constexpr double sigma_data = 0.5;
const std::vector<std::array<std::int64_t, 2>> shapes{{1, 1}, {3, 17}, {2, 64}, {5, 3072}, {130, 20}, {2, 40001}};

Tensor sigmas(Operands& o, std::int64_t n) { return o.input("sigma", {n}, noise_levels()); }

BOOST_AUTO_TEST_CASE(denoised_agrees_with_the_reference) {
  constexpr double tolerance = 1.5e-7;  // float32, relative to the largest value
  for (const auto& [n, p] : shapes) {
    check_parity("denoised", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
      ops.denoised(o.output("d", {n, p}), o.input("z", {n, p}), o.input("f", {n, p}), sigmas(o, n), sigma_data);
    });
    check_parity("denoised in place of z", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
      const Tensor z = o.changed("z", {n, p});
      ops.denoised(z, z, o.input("f", {n, p}), sigmas(o, n), sigma_data);
    });
    check_parity("denoised in place of f", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
      const Tensor f = o.changed("f", {n, p});
      ops.denoised(f, o.input("z", {n, p}), f, sigmas(o, n), sigma_data);
    });
  }
}

BOOST_AUTO_TEST_CASE(denoise_loss_agrees_with_the_reference) {
  constexpr double tolerance = 4e-7;  // float32, relative to the largest value of each result
  for (const auto& [n, p] : shapes) {
    for (const LossWeighting weighting : {LossWeighting::edm, LossWeighting::none}) {
      const auto call = [&, n = n, p = p](Ops& ops, Operands& o, const Tensor& df, const Tensor& f) {
        ops.denoise_loss(o.output("loss", {n}), o.output("mse", {n}), df, o.input("z", {n, p}), o.input("y", {n, p}), f,
                         sigmas(o, n), sigma_data, weighting, 0.37);
      };
      check_parity("denoise_loss", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
        call(ops, o, o.output("df", {n, p}), o.input("f", {n, p}));
      });
      check_parity("denoise_loss in place", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
        const Tensor f = o.changed("f", {n, p});
        call(ops, o, f, f);
      });
      check_parity("denoise_loss without gradient", tolerance, [&, n = n, p = p](Ops& ops, Operands& o) {
        call(ops, o, Tensor(), o.input("f", {n, p}));
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(the_ends_of_the_noise_range_agree_with_the_reference) {
  // At sigma = 0.002 c_out is 0.002 and the weight 250,000; at 80 c_skip is 0.00004.
  for (const double sigma : {0.002, 80.0}) {
    check_parity("denoise_loss at sigma " + std::to_string(sigma), 4e-7, [&](Ops& ops, Operands& o) {
      ops.denoise_loss(o.output("loss", {2}), o.output("mse", {2}), o.output("df", {2, 65}), o.input("z", {2, 65}),
                       o.input("y", {2, 65}), o.input("f", {2, 65}), o.input("sigma", {2}, constant(sigma)), sigma_data,
                       LossWeighting::edm, 1);
    });
  }
}

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences) {
  for (const LossWeighting weighting : {LossWeighting::edm, LossWeighting::none}) {
    constexpr double loss_scale = 0.25;
    GradientCase c;
    c.what = "denoise_loss";
    const auto run = [=](Ops& ops, Operands& o, const Tensor& df) {
      ops.denoise_loss(o.output("loss", {3}), o.output("mse", {3}), df, o.input("z", {3, 6}), o.input("y", {3, 6}),
                       o.input("f", {3, 6}), o.input("sigma", {3}, list({0.1, 0.6, 3})), sigma_data, weighting,
                       loss_scale);
    };
    c.forward = [=](Ops& ops, Operands& o) { run(ops, o, Tensor()); };
    c.backward = [=](Ops& ops, Operands& o) {
      o.input("dloss", {3}, constant(loss_scale));
      run(ops, o, o.output("df", {3, 6}));
    };
    c.output = "loss";
    c.cotangent = "dloss";
    c.gradients = {{"f", "df"}};
    check_gradient(c);
  }
}

BOOST_AUTO_TEST_CASE(by_hand) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // sigma = sigma_data = 0.5: c_skip 1/2, c_out 0.25/sqrt(0.5) = 0.353553, weight 0.5/0.0625 = 8.
    const double c_out = 0.25 / std::sqrt(0.5);
    const Tensor z = o.input("z", {1, 2}, list({2, -4})), f = o.input("f", {1, 2}, list({0, 1}));
    const Tensor sigma = o.input("sigma", {1}, list({0.5}));
    ops.denoised(o.output("d", {1, 2}), z, f, sigma, 0.5);
    check_values(ops, o, "d", {1, -2 + c_out});
    const Tensor y = o.input("y", {1, 2}, list({0, -2}));
    ops.denoise_loss(o.output("loss", {1}), o.output("mse", {1}), o.output("df", {1, 2}), z, y, f, sigma, 0.5,
                     LossWeighting::edm, 3);
    check_values(ops, o, "mse", {(1 + 0.125) / 2});
    check_values(ops, o, "loss", {4.5}, 2e-6);
    // 3 * 8 * 2 * error * c_out / 2
    check_values(ops, o, "df", {24 * c_out, 24 * 0.125}, 4e-6);
    ops.denoise_loss(o.output("loss", {1}), o.output("mse", {1}), Tensor(), z, y, f, sigma, 0.5, LossWeighting::none,
                     3);
    check_values(ops, o, "loss", {0.5625});
  });
}

BOOST_AUTO_TEST_CASE(a_perfect_network_output_gives_no_loss) {
  for_each_implementation([](Ops& ops, Operands& o) {
    // F = (y - c_skip z) / c_out makes D = y, so loss and gradient vanish up to rounding.
    const double s = 0.3, total = s * s + 0.25;
    const double c_skip = 0.25 / total, c_out = s * 0.5 / std::sqrt(total);
    const Tensor z = o.input("z", {1, 3}, list({0.1, -0.7, 1.3})), y = o.input("y", {1, 3}, list({0.2, -0.5, 0.9}));
    const Tensor f = o.input(
        "f", {1, 3}, list({(0.2 - c_skip * 0.1) / c_out, (-0.5 + c_skip * 0.7) / c_out, (0.9 - c_skip * 1.3) / c_out}));
    ops.denoise_loss(o.output("loss", {1}), o.output("mse", {1}), o.output("df", {1, 3}), z, y, f,
                     o.input("sigma", {1}, list({s})), 0.5, LossWeighting::edm, 1);
    check_values(ops, o, "loss", {0}, 1e-12);
    check_values(ops, o, "df", {0, 0, 0}, 2e-6);
  });
}

BOOST_AUTO_TEST_CASE(losses_of_a_step_add_up) {
  for (const std::int64_t n : {1, 7, 300}) {
    check_parity("add_losses", 1e-12, [&](Ops& ops, Operands& o) {
      o.state.loss_sum = 2;
      o.state.mse_sum = 0.5;
      ops.add_losses(&o.state, o.input("loss", {n}), o.input("mse", {n}));
      o.record("sum of losses", o.state.loss_sum);
      o.record("sum of errors", o.state.mse_sum);
    });
  }
  for_each_implementation([](Ops& ops, Operands& o) {
    o.state.loss_sum = 1;
    ops.add_losses(&o.state, o.input("loss", {3}, list({1, 2, 4})), o.input("mse", {3}, list({0.5, 0.25, 0})));
    o.record("sum of losses", o.state.loss_sum);
    o.record("sum of errors", o.state.mse_sum);
    check_values(ops, o, "sum of losses", {8}, 0);
    check_values(ops, o, "sum of errors", {0.75}, 0);
  });
}

}  // namespace
