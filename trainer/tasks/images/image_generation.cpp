// What `generate` makes of a network that was trained on images: a picture of them.

#include "trainer/tasks/images/image_generation.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/random.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/units.hpp"
#include "trainer/support/version.hpp"
#include "trainer/support/whole_file.hpp"
#include "trainer/tasks/images/image_generator.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/images/images_options.hpp"
#include "trainer/tasks/images/picture.hpp"

namespace blocktrain::trainer {
namespace {

/// What the command line leaves open is taken from the run's config.
GenerationSettings settings_of(const GenerateArguments& a, const Config& config) {
  const auto& options = config.task.as<ImagesOptions>();
  GenerationSettings s;
  s.steps = a.steps > 0 ? a.steps : options.steps.empty() ? 18 : options.steps.back();
  s.sampler = a.sampler.empty() ? options.sampler : option_named<SamplerKind>("--sampler", a.sampler);
  s.guidance = a.guidance.value_or(options.guidance);
  s.seed = a.seed;
  return s;
}

/// As the config refuses it for eval.guidance (images_options.cpp): what no class looks like is learnt by label
/// dropout alone.
void check_guidance(const GenerateArguments& a, const Config& config) {
  if (!a.guidance || *a.guidance == 1) return;
  if (const auto dropout = value_of<double>(config, "model.label_dropout"); !dropout || *dropout > 0) return;
  throw InputError(fmt::format(
      "--guidance: found {} for a run that was trained with model.label_dropout 0, so that no image was learnt without "
      "its label; accepted: 1",
      *a.guidance));
}

std::vector<std::int32_t> labels_of(const GenerateArguments& a, int count, std::int64_t classes) {
  for (const int label : a.labels) {
    if (label < 0 || label >= classes) {
      throw InputError(fmt::format("--labels: found {}; accepted: 0 to {}, for the run was trained on {} classes",
                                   label, classes - 1, classes));
    }
  }
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(a.labels.empty() ? static_cast<std::int32_t>(i % classes)
                                      : a.labels[static_cast<std::size_t>(i) % a.labels.size()]);
  }
  return labels;
}

/// Training images of the same classes: from a start keyed by the seed, those that follow of each class in turn. Grey
/// where a class has none.
std::vector<float> real_images(const ImageDataset& data, const std::vector<std::int32_t>& labels, std::uint64_t seed) {
  std::vector<std::vector<std::int64_t>> of_class(static_cast<std::size_t>(data.classes()));
  for (std::int64_t i = 0; i < data.count(Split::train); ++i) {
    of_class[static_cast<std::size_t>(data.label(Split::train, i))].push_back(i);
  }
  const std::int64_t size = data.shape().size();
  std::vector<float> images(labels.size() * static_cast<std::size_t>(size), 0.0F);
  std::vector<std::uint64_t> next(of_class.size());
  for (std::size_t c = 0; c < next.size(); ++c) {
    next[c] = kernels::random_words({seed, kernels::Purpose::sampling}, 1, static_cast<std::uint32_t>(c), 0)[0];
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto c = static_cast<std::size_t>(labels[i]);
    if (of_class[c].empty()) continue;
    fill_image(data, Split::train, of_class[c][next[c]++ % of_class[c].size()], false,
               images.data() + static_cast<std::int64_t>(i) * size);
  }
  data.require_unchanged();
  return images;
}

}  // namespace

void generate_images(TrainedNetwork& network, const GenerateArguments& arguments) {
  const std::string out = arguments.out.empty() ? arguments.run + "/samples.png" : arguments.out;
  const int pictures = arguments.count > 0 ? arguments.count : 64;
  EvaluationRanks& ranks = network.ranks();
  const ImageShape shape = image_shape_of(network.data().layout);
  GenerationSettings settings;
  std::vector<std::int32_t> labels;
  Grid grid;
  Picture picture;
  ranks.together([&] {
    if (ranks.leads()) require_writable(out, "--out", picture_kind());
    refuse_options(text_options(arguments), "pictures");
    check_guidance(arguments, network.config());
    settings = settings_of(arguments, network.config());
    labels = labels_of(arguments, pictures, network.data().layout.classes);
    if (!ranks.leads()) return;
    const std::int64_t period =
        arguments.labels.empty() ? network.data().layout.classes : static_cast<std::int64_t>(arguments.labels.size());
    grid = choose_grid(shape, pictures, period, arguments.beside_real ? 2 : 1);
    if (arguments.scale > 0) grid.scale = arguments.scale;
    // Drawn first, so that a picture that cannot be is refused before the work.
    const std::vector<float> blank(labels.size() * static_cast<std::size_t>(shape.size()), 0.0F);
    picture =
        draw_grid(arguments.beside_real ? real_images(images_of(*network.open_data()), labels, settings.seed) : blank,
                  shape, grid);
    print_warnings(network);
  });

  ImageGenerator generator(network);
  const GeneratedImages made = generator.generate(labels, settings);
  ranks.finish();

  ranks.together([&] {
    if (!ranks.leads()) return;
    const Picture generated = draw_grid(made.images, shape, grid);
    picture = arguments.beside_real ? side_by_side(picture, generated) : generated;
    const std::string how = fmt::format("{} {} steps, guidance {}, seed {}", settings.steps, name_of(settings.sampler),
                                        settings.guidance, settings.seed);
    const std::vector<std::uint8_t> png = to_png(picture, {{"Software", std::string("blocktrain ") + version()},
                                                           {"Description", network.summary() + "; " + how}});
    WholeFile file(out, "--out", picture_kind());
    file.write(std::as_bytes(std::span(png)));
    file.commit();

    show("{}: {} images by {}{}\n", out, pictures, network.summary(),
         arguments.beside_real ? "; left: real training images, right: generated" : "");
    show("{}; {} FLOPs and {:.3g} s per image on {}\n", how, count(made.flops_per_image), made.seconds_per_image,
         network.computed_by());
  });
}

}  // namespace blocktrain::trainer
