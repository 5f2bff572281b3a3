// Samples of a classifier: which images are changed, how, and that nothing but the key of a sample counts for it.

#include <algorithm>
#include <thread>

#include "kernels/arena.hpp"
#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/config/config.hpp"
#include "trainer/tasks/images/pixels.hpp"
#include "trainer/tasks/labels/label_samples.hpp"
#include "trainer/tasks/labels/label_task.hpp"

namespace blocktrain::trainer {
using namespace test;

BOOST_AUTO_TEST_SUITE(samples)

namespace {

constexpr std::uint64_t seed = 17;
constexpr std::uint32_t step = 5;
constexpr Augmentation all_of_it{true, 2, 2, 12};

/// A batch with memory of its own.
struct OwnBatch {
  OwnBatch(const blocks::SampleLayout& layout, std::int64_t count, std::uint32_t first)
      : arena(kernels::Arena::host("test batch", std::size_t{1} << 20)),
        batch(blocks::bind_batch(arena, layout, count)) {
    batch.first_sample = first;
    batch.step = step;
  }
  std::vector<float> image(std::int64_t i) const {
    const float* p = batch.fields[image_field].as<float>() + i * batch.fields[image_field].row_size();
    return {p, p + batch.fields[image_field].row_size()};
  }
  std::int32_t label(std::int64_t i) const { return batch.fields[label_field].as<std::int32_t>()[i]; }

  kernels::Arena arena;
  blocks::Batch batch;
};

/// The folder of the data; two are colourful and two are held out.
struct Colours {
  Colours() {
    folder.write("train-images-idx4-ubyte", idx({12, 3, 6, 5}, noise(12 * 90)));
    folder.write("train-labels-idx1-ubyte", idx({12}, cyclic_labels(12, 4)));
    folder.write("t10k-images-idx4-ubyte", idx({3, 3, 6, 5}, noise(3 * 90, 2)));
    folder.write("t10k-labels-idx1-ubyte", idx({3}, {3, 1, 0}));
  }
  LabelSamples open(const Augmentation& augmentation) const {
    return {ImageDataset::open(folder.path()), folder.path(), augmentation};
  }
  TemporaryFolder folder;
};

/// The image as the header of augmentation.hpp says it.
std::vector<float> by_hand(const LabelSamples& data, std::int64_t index, std::uint32_t sample, const Augmentation& a) {
  const ImageShape& shape = data.dataset().shape();
  const std::uint8_t* pixels = data.dataset().image(Split::train, index);
  Bytes image(pixels, pixels + shape.size()), scratch(image.size());
  augment(a, {seed, step, sample}, {image.data(), shape.channels, shape.height, shape.width}, scratch);
  std::vector<float> numbers;
  for (const std::uint8_t p : image) numbers.push_back(pixel_values[p]);
  return numbers;
}

const std::vector<std::int64_t> order{7, 0, 11, 7, 3, 9, 1};

Config config_for(const fs::path& path) {
  Config c(*blocks::find_architecture("vit"));
  c.data.path = path;
  return c;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_training_image_is_what_augmentation_makes_of_it) {
  const Colours colours;
  const LabelSamples data = colours.open(all_of_it);
  const OwnBatch whole(data.layout(), 7, 40);
  data.fill(whole.batch, Split::train, order, seed);
  int changed = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    BOOST_TEST(whole.image(row) == by_hand(data, order[i], 40 + static_cast<std::uint32_t>(i), all_of_it),
               boost::test_tools::per_element());
    BOOST_TEST(whole.label(row) == order[i] % 4);
    changed += whole.image(row) != by_hand(data, order[i], 0, {}) ? 1 : 0;
  }
  BOOST_TEST(changed >= 5);                      // some may be mirrored to themselves and moved nowhere
  BOOST_TEST(whole.image(0) != whole.image(3));  // the same image, as another sample
}

BOOST_AUTO_TEST_CASE(micro_batches_shards_and_threads_see_the_same) {
  const Colours colours;
  const LabelSamples data = colours.open(all_of_it);
  const OwnBatch whole(data.layout(), 7, 0);
  data.fill(whole.batch, Split::train, order, seed);
  std::vector<std::thread> threads;
  std::vector<char> same(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    threads.emplace_back([&, i] {
      const OwnBatch one(data.layout(), 1, static_cast<std::uint32_t>(i));
      bool equal = true;
      for (int again = 0; again < 50; ++again) {
        data.fill(one.batch, Split::train, std::span(order).subspan(i, 1), seed);
        equal = equal && one.image(0) == whole.image(static_cast<std::int64_t>(i));
      }
      same[i] = equal;
    });
  }
  for (std::thread& t : threads) t.join();
  BOOST_TEST(std::count(same.begin(), same.end(), char{1}) == 7);

  const OwnBatch other(data.layout(), 7, 0);
  data.fill(other.batch, Split::train, order, seed + 1);
  BOOST_TEST(other.image(0) != whole.image(0));
}

BOOST_AUTO_TEST_CASE(what_is_not_to_be_augmented_is_as_it_is_in_the_file) {
  const Colours colours;
  const LabelSamples data = colours.open(all_of_it), plain = colours.open({});
  const OwnBatch a(data.layout(), 3, 9), b(data.layout(), 3, 9);
  data.fill(a.batch, Split::heldout, std::vector<std::int64_t>{2, 0, 1}, std::nullopt);
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::uint8_t* pixels = data.dataset().image(Split::heldout, (i + 2) % 3);
    std::vector<float> numbers;
    for (int e = 0; e < 90; ++e) numbers.push_back(pixel_values[pixels[e]]);
    BOOST_TEST(a.image(i) == numbers, boost::test_tools::per_element());
  }
  BOOST_TEST(a.label(0) == 0);
  BOOST_TEST(a.label(2) == 1);
  // With a seed, but without anything to do.
  plain.fill(b.batch, Split::train, std::vector<std::int64_t>{4, 5, 6}, seed);
  BOOST_TEST(b.image(1) == by_hand(plain, 5, 0, {}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(mirrored_alone_as_the_other_task_mirrors) {
  const Colours colours;
  const Augmentation flips{true, 0, 0, 9};
  const LabelSamples data = colours.open(flips);
  const ImageSamples images(ImageDataset::open(colours.folder.path()), "d", true);
  const OwnBatch a(data.layout(), 7, 3), b(data.layout(), 7, 3);
  data.fill(a.batch, Split::train, order, seed);
  images.fill(b.batch, Split::train, order, seed);
  for (std::int64_t i = 0; i < 7; ++i) BOOST_TEST(a.image(i) == b.image(i), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(classes_of_the_training_images_are_counted) {
  const Colours colours;
  const LabelSamples data = colours.open(all_of_it);
  const DataFacts facts = data.facts();
  BOOST_TEST(data.class_counts() == std::vector<std::int64_t>(4, 3), boost::test_tools::per_element());
  BOOST_TEST(facts.heldout_samples == 3);
  BOOST_TEST(label_task().description(facts) == "12 images of 3x6x5, 4 classes, 3 held out");
}

BOOST_AUTO_TEST_CASE(the_task_opens_what_the_config_says_and_refuses_the_rest) {
  const Colours colours;
  Config config = config_for(colours.folder.path());
  auto& options = config.task.as<LabelsOptions>();
  options.rand_augment = 2;
  options.crop_padding = 3;
  const auto data = label_task().open(config);
  const OwnBatch a(data->layout(), 1, 0);
  data->fill(a.batch, Split::train, std::vector<std::int64_t>{8}, seed);
  BOOST_TEST(a.image(0) == by_hand(colours.open({}), 8, 0, {false, 3, 2, 9}), boost::test_tools::per_element());
  BOOST_TEST(label_task().outline(config).text.find("on 12 images of 3x6x5, 4 classes (3 held out)") == 0u);

  options.shape = {3, 5, 6};
  check_input_error([&] { label_task().open(config); }, {"data.shape", "[3, 5, 6]", "[3, 6, 5]"});
  options.shape = {};
  const Bytes good = read_file(colours.folder.path() / "train-images-idx4-ubyte");
  Bytes bad = good;
  bad.pop_back();
  colours.folder.write("train-images-idx4-ubyte", bad);
  check_input_error([&] { label_task().open(config); }, {"train-images-idx4-ubyte"});
  colours.folder.write("train-images-idx4-ubyte", good);
  colours.folder.write("t10k-labels-idx1-ubyte", idx({3}, {3, 4, 0}));
  check_input_error([&] { label_task().open(config); }, {"t10k-labels-idx1-ubyte", "label 4", "0 to 3"});
}

BOOST_AUTO_TEST_CASE(images_of_four_channels_can_be_cropped_but_have_no_colours) {
  const TemporaryFolder folder;
  folder.write("train-images-idx4-ubyte", idx({4, 4, 6, 5}, noise(4 * 120)));
  folder.write("train-labels-idx1-ubyte", idx({4}, cyclic_labels(4, 2)));
  const LabelSamples data(ImageDataset::open(folder.path()), folder.path(), {true, 2, 0, 9});
  const OwnBatch a(data.layout(), 1, 0);
  data.fill(a.batch, Split::train, std::vector<std::int64_t>{1}, seed);
  BOOST_TEST(a.image(0) == by_hand(data, 1, 0, {true, 2, 0, 9}), boost::test_tools::per_element());
  check_input_error(
      [&] {
        LabelSamples(ImageDataset::open(folder.path()), folder.path(), {false, 0, 1, 9});
      },
      {"data.rand_augment: found 1", "4 channels"});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace blocktrain::trainer
