#include "blocks/assembled.hpp"

#include <boost/test/unit_test.hpp>

#include "blocks/noise/sampler.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;
using test::BoundBlock;
using test::HostTensor;
using test::Samples;
using test::values_of;

constexpr std::int64_t count = 5;

/// Blocks of uneven depth, assembled in one arena.
class Assembly {
 public:
  explicit Assembly(std::vector<int> layers, const DitConfig& config = test::small_config()) : config_(config) {
    std::vector<Block*> pointers;
    int first = 0;
    for (std::size_t b = 0; b < layers.size(); ++b) {
      const BlockPlace place{static_cast<int>(b), static_cast<int>(layers.size()), first, layers[b]};
      blocks_.push_back(std::make_unique<BoundBlock>(config, place, DType::float64, count));
      blocks_.back()->randomize(0.3);
      pointers.push_back(&**blocks_.back());
      first += layers[b];
    }
    network_ = std::make_unique<AssembledNetwork>(NoiseSchedule({}, static_cast<int>(layers.size())), pointers);
    Arena measured = Arena::measuring("assembled");
    network_->bind(measured, DType::float64, count);
    arena_ = Arena::host("assembled", measured.peak());
    network_->bind(arena_, DType::float64, count);
  }

  std::vector<double> denoise(const Tensor& z, double sigma, const Tensor& label, double guidance) {
    const HostTensor d(DType::float64, {z.dim(0), z.dim(1), z.dim(2), z.dim(3)});
    network_->denoise(*ops_, *d, z, sigma, test::image_batch({}, label), guidance);
    return values_of(*d);
  }

  /// What block b says by itself, with memory of its own.
  std::vector<double> alone(std::size_t b, const Tensor& z, double sigma, const Tensor& label) {
    const BlockPlace& place = blocks_[b]->operator*().place();
    BoundBlock copy(config_, place, DType::float64, count);
    ops_->copy(copy.parameters(), blocks_[b]->parameters());
    const HostTensor d(DType::float64, {z.dim(0), z.dim(1), z.dim(2), z.dim(3)}), levels(DType::float64, {z.dim(0)});
    ops_->fill(*levels, sigma);
    copy->denoise(*ops_, *d, test::noisy_images(z, *levels, test::image_batch({}, label)));
    return values_of(*d);
  }

  AssembledNetwork& network() { return *network_; }
  kernels::Ops& ops() { return *ops_; }
  const Arena& arena() const { return arena_; }

 private:
  DitConfig config_;
  std::unique_ptr<kernels::Ops> ops_ = kernels::make_reference_ops();
  std::vector<std::unique_ptr<BoundBlock>> blocks_;
  std::unique_ptr<AssembledNetwork> network_;
  Arena arena_ = Arena::measuring("not yet");
};

}  // namespace

BOOST_AUTO_TEST_CASE(each_level_is_denoised_by_its_owner) {
  Assembly a({3, 1, 2});
  const Samples s(test::small_config(), DType::float64, count);
  // Back and forth, so that a block that disturbed another's memory would show.
  for (const double sigma : {80.0, 0.1, 0.3, 2.0, 0.002, 0.3, 80.0}) {
    const auto owner = static_cast<std::size_t>(a.network().schedule().block_of(sigma));
    const auto found = a.denoise(*s.z, sigma, *s.label, 1);
    BOOST_TEST(found == a.alone(owner, *s.z, sigma, *s.label));
    BOOST_TEST(found != a.alone((owner + 1) % 3, *s.z, sigma, *s.label));
  }
}

BOOST_AUTO_TEST_CASE(guidance_goes_beyond_the_label) {
  Assembly a({1, 1});
  const Samples s(test::small_config(), DType::float64, count);
  const HostTensor none(DType::int32, {count}, std::vector<double>(count, -1));
  const auto with = a.alone(0, *s.z, 1.5, *s.label), without = a.alone(0, *s.z, 1.5, *none);
  BOOST_TEST(with != without);
  for (const double g : {0.0, 1.0, 2.0, 0.5}) {
    const auto found = a.denoise(*s.z, 1.5, *s.label, g);
    for (std::size_t i = 0; i < found.size(); ++i) {
      BOOST_REQUIRE_SMALL(found[i] - (without[i] + g * (with[i] - without[i])), 1e-12);
    }
  }
}

BOOST_AUTO_TEST_CASE(flops_are_those_of_the_blocks_that_ran) {
  Assembly a({4, 1});
  const Samples s(test::small_config(), DType::float64, count);
  const double first = a.network().block(0).flops().forward, second = a.network().block(1).flops().forward;
  BOOST_TEST(first > second);
  BOOST_TEST(a.network().flops_spent() == 0);
  a.denoise(*s.z, 80, *s.label, 1);
  BOOST_TEST(a.network().flops_spent() == count * first);
  a.denoise((*s.z).rows(0, 2), 0.01, (*s.label).rows(0, 2), 2);
  BOOST_TEST(a.network().flops_spent() == count * first + 4 * second);
  a.network().reset_flops();
  a.denoise(*s.z, 0.01, *s.label, 0);
  BOOST_TEST(a.network().flops_spent() == count * second);
}

BOOST_AUTO_TEST_CASE(blocks_share_the_memory_of_one) {
  BOOST_TEST(Assembly({1}).arena().capacity() == Assembly({2, 1, 3, 1}).arena().capacity());
}

BOOST_AUTO_TEST_CASE(a_whole_network_generates) {
  // 6 steps over 3 blocks: two each, and the sampler's samples do not depend on their batch.
  const DitConfig c = test::small_config();
  Assembly a({1, 2, 1});
  Sampler sampler;
  Arena measured = Arena::measuring("sampler");
  sampler.bind(measured, DType::float64, count, {c.channels, c.height, c.width_px});
  Arena arena = Arena::host("sampler", measured.peak());
  sampler.bind(arena, DType::float64, count, {c.channels, c.height, c.width_px});
  std::vector<int> asked;
  const DenoiseFunction denoise = [&](const Tensor& d, const Tensor& z, double sigma, const Batch& conditions) {
    asked.push_back(a.network().schedule().block_of(sigma));
    a.network().denoise(a.ops(), d, z, sigma, conditions, 2);
  };
  const HostTensor label(DType::int32, {count}, {0, 1, 2, -1, 1});
  const auto edges = a.network().schedule().sampling_edges(6);
  const auto all = values_of(sampler.run(a.ops(), denoise, edges, test::image_batch({}, *label, 10), count, {}));
  BOOST_TEST(asked == (std::vector<int>{0, 0, 1, 1, 2, 2}));
  const auto last =
      values_of(sampler.run(a.ops(), denoise, edges, test::image_batch({}, (*label).rows(3, 5), 13), 2, {}));
  BOOST_TEST(std::vector<double>(all.begin() + 3 * c.image_elements(), all.end()) == last);
}

}  // namespace blocktrain::blocks
