// The classifier that judges generated images.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/ops.hpp"
#include "trainer/tasks/images/image_classifier.hpp"
#include "trainer/tasks/images/image_features.hpp"

namespace blocktrain::trainer {
namespace {

ImageDataset digits() {
  return ImageDataset::open(std::string(std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR")) + "/tests/fixtures/digits");
}

ClassifierSettings few_steps(const ImageDataset& data) {
  ClassifierSettings s = classifier_settings(data.shape(), false);
  s.steps = 150;
  s.batch = 64;
  return s;
}

struct Trained {
  std::vector<std::int32_t> heldout;
  std::vector<float> features;
  double training_accuracy, heldout_accuracy;
};

Trained train_on(int threads, ClassifierSettings settings) {
  const ImageDataset data = digits();
  const auto ops = kernels::make_cpu_ops(threads);
  ImageClassifier classifier(*ops, data.shape(), data.classes(), settings);
  classifier.train(data);
  const RealImages training = real_images(data, Split::train, 1000), heldout = real_images(data, Split::heldout, 1000);
  const auto a = classifier.judge(training.images), b = classifier.judge(heldout.images);
  return {b.classes, b.features, agreement(a.classes, training.labels), agreement(b.classes, heldout.labels)};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_learns_the_digits) {
  const Trained t = train_on(1, few_steps(digits()));
  BOOST_TEST(t.training_accuracy == 1.0);
  BOOST_TEST(t.heldout_accuracy >= 0.8);  // 20 images; guessing gets 2 of them
  BOOST_TEST(t.features.size() == 20U * 128U);
}

BOOST_AUTO_TEST_CASE(it_is_the_same_to_the_bit_on_any_number_of_threads) {
  ClassifierSettings settings = few_steps(digits());
  settings.steps = 20;
  settings.shift = settings.flip = true;
  const Trained one = train_on(1, settings), three = train_on(3, settings);
  BOOST_TEST(same_bits(one.features, three.features));
  settings.seed = 1;
  BOOST_TEST(!same_bits(one.features, train_on(1, settings).features));
}

BOOST_AUTO_TEST_CASE(each_augmentation_changes_what_is_learnt) {
  ClassifierSettings plain = few_steps(digits());
  plain.steps = 3;
  plain.noise = 0;
  const std::vector<float> without = train_on(1, plain).features;
  for (int i = 0; i < 3; ++i) {
    ClassifierSettings with = plain;
    if (i == 0) with.noise = 0.2;
    if (i == 1) with.shift = true;
    if (i == 2) with.flip = true;
    BOOST_TEST(!same_bits(train_on(1, with).features, without), "augmentation " << i);
  }
}

BOOST_AUTO_TEST_CASE(settings_follow_the_size_of_images) {
  BOOST_TEST(classifier_settings({1, 8, 8}, false).noise > 0);
  BOOST_TEST(!classifier_settings({1, 8, 8}, false).shift);
  BOOST_TEST(classifier_settings({1, 28, 28}, false).shift);
  BOOST_TEST(classifier_settings({3, 32, 32}, true).flip);
}

BOOST_AUTO_TEST_CASE(real_images_are_spread_over_the_split) {
  const ImageDataset data = digits();
  const RealImages all = real_images(data, Split::train, 1000), some = real_images(data, Split::train, 7);
  BOOST_TEST(all.count() == 60);
  BOOST_REQUIRE(some.count() == 7);
  for (std::int64_t i = 0; i < 7; ++i) {
    const std::int64_t index = i * 60 / 7;
    BOOST_TEST(some.labels[static_cast<std::size_t>(i)] == data.label(Split::train, index));
    BOOST_TEST(std::memcmp(some.images.data() + i * 64, all.images.data() + index * 64, 64 * sizeof(float)) == 0);
  }
}

}  // namespace blocktrain::trainer
