// The experiments in configs/.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>

#include "tests/trainer/config/support.hpp"

using namespace blocktrain::trainer;

namespace {

std::string configs() {
  const char* root = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  BOOST_REQUIRE_MESSAGE(root != nullptr, "BLOCKTRAIN_TEST_SOURCE_DIR has to name the source folder, as ctest does");
  return std::string(root) + "/configs/";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config_ready)

BOOST_AUTO_TEST_CASE(every_ready_experiment_loads) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(configs())) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    BOOST_TEST_CONTEXT(entry.path()) {
      Config c;
      BOOST_CHECK_NO_THROW(c = load_config(entry.path().string(), {}));
      BOOST_TEST((load_config_text(to_yaml(c), "t.yaml", {}) == c));
      // So that plan answers before anybody has the data.
      if (architecture_of(c).task != "tokens") {
        const ImageDataOptions& data = test::image_data(c);
        BOOST_TEST(data.shape.size() == 3u);
        BOOST_TEST(data.classes > 0);
      }
      // Two experiments never share a RUN folder by accident.
      BOOST_TEST(c.log.directory == "runs/" + entry.path().stem().string());
    }
  }
  BOOST_TEST(files >= 4);
}

BOOST_AUTO_TEST_CASE(the_quickstart_pair_differs_in_the_way_of_training_alone_at_equal_layer_evaluations) {
  const Config local = load_config(configs() + "quickstart.yaml", {});
  const Config whole = load_config(configs() + "quickstart-end-to-end.yaml", {});
  BOOST_TEST((local.blocks.training == TrainingMode::block_local));
  BOOST_TEST((whole.blocks.training == TrainingMode::end_to_end));
  std::int64_t local_evaluations = 0;
  for (const int layers : layers_per_block(local)) local_evaluations += layers * local.budget.steps;
  BOOST_TEST(local_evaluations == whole.model.layers * whole.budget.steps);

  Config same = whole;
  same.blocks.training = local.blocks.training;
  same.log.directory = local.log.directory;
  BOOST_TEST((same == local));
}

BOOST_AUTO_TEST_CASE(the_pairs_differ_in_the_way_of_training_alone) {
  for (const std::string name : {"vit-fashion-mnist", "vit-cifar100", "masked-shakespeare"}) {
    BOOST_TEST_CONTEXT(name) {
      const Config local = load_config(configs() + name + ".yaml", {});
      Config whole = load_config(configs() + name + "-end-to-end.yaml", {});
      BOOST_TEST(name.starts_with(local.model.architecture));
      BOOST_TEST((whole.blocks.training == TrainingMode::end_to_end));
      whole.blocks.training = local.blocks.training;
      whole.log.directory = local.log.directory;
      BOOST_TEST((whole == local));
    }
  }
}

BOOST_AUTO_TEST_CASE(cifar100_has_the_setting_of_the_paper) {
  const Config c = load_config(configs() + "vit-cifar100.yaml", {});
  const auto& data = c.task.as<LabelsOptions>();
  BOOST_TEST(c.model.layers == 12);
  BOOST_TEST(c.model.width == 128);
  BOOST_TEST(c.model.heads == 4);
  BOOST_TEST(c.blocks.count == 3);
  BOOST_TEST(c.data.batch == 128);
  const std::int64_t steps_per_pass = (50000 + c.data.batch - 1) / c.data.batch;
  BOOST_TEST(c.budget.steps == 500 * steps_per_pass);
  BOOST_TEST(c.optimizer.warmup_steps == 10 * steps_per_pass);
  BOOST_TEST(c.optimizer.learning_rate == 5e-4);
  BOOST_TEST(data.flip);
  BOOST_TEST(data.crop_padding == 4);
  BOOST_TEST(data.rand_augment == 2);
  BOOST_TEST(data.rand_augment_magnitude == 9);
  BOOST_TEST((data.steps == std::vector<int>{4}));
}

BOOST_AUTO_TEST_SUITE_END()
