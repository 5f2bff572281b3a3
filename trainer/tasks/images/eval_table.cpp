#include "trainer/tasks/images/eval_table.hpp"

#include <fmt/format.h>

#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

using Text = fmt::memory_buffer;

void add_losses(Text& out, const EvalResult& r) {
  const DenoisingLosses& run = r.run.denoising;
  const DenoisingLosses* twin = r.twin.empty() ? nullptr : &r.twin.front().denoising;
  const char* twin_columns = twin != nullptr ? "   twin: weighted  unweighted" : "";
  add_text(out, "Denoising loss of {} held-out images, by noise level\n\n", run.samples);
  add_text(out, "     sigma  block   weighted  unweighted{}\n", twin_columns);
  for (std::size_t i = 0; i < run.levels.size(); ++i) {
    const LevelLoss& l = run.levels[i];
    add_text(out, "{:>10.4g}  {:>5}  {:>9.4f}  {:>10.3e}", l.sigma, l.block, l.loss, l.mse);
    if (twin != nullptr) add_text(out, "  {:>15.4f}  {:>10.3e}", twin->levels[i].loss, twin->levels[i].mse);
    add_text(out, "{}\n", l.edge ? "  edge" : "");
  }
  add_text(out, "\nOver the interval that each block owns, {} draws per image\n\n", run.draws_per_sample);
  add_text(out, " block                 sigma   weighted  unweighted{}\n", twin_columns);
  const auto row = [&](const std::string& name, const std::string& sigma, double loss, double mse, double twin_loss,
                       double twin_mse) {
    add_text(out, "{:>6}  {:>20}  {:>9.4f}  {:>10.3e}", name, sigma, loss, mse);
    if (twin != nullptr) add_text(out, "  {:>15.4f}  {:>10.3e}", twin_loss, twin_mse);
    add_text(out, "\n");
  };
  for (std::size_t b = 0; b < run.intervals.size(); ++b) {
    const IntervalLoss& i = run.intervals[b];
    const IntervalLoss other = twin != nullptr ? twin->intervals[b] : IntervalLoss{};
    row(std::to_string(i.block), fmt::format("{:.4g} .. {:.4g}", i.sigma_lo, i.sigma_hi), i.loss, i.mse, other.loss,
        other.mse);
  }
  row("mean", "", run.loss, run.mse, twin != nullptr ? twin->loss : 0, twin != nullptr ? twin->mse : 0);
}

void add_generation(Text& out, const char* name, const NetworkResult& n) {
  for (const GenerationResult& g : n.generation) {
    add_text(out, "{:<5} {:>5}  {:>8.1f}%  {:>9.3f} {:>9.3f}  {:>9.3f} {:>9.3f}  {:>9}  {:>10}  {:>8.2g}\n", name,
             g.steps, 100 * g.agreement, g.frechet.pixels_training, g.frechet.pixels_heldout,
             g.frechet.features_training, g.frechet.features_heldout, count(g.flops_per_image),
             count(g.end_to_end_flops_per_image), g.seconds_per_image);
  }
}

}  // namespace

std::string to_table(const EvalResult& r) {
  Text out;
  add_text(out, "{}\n", introduction(r.run, r.ranks));
  if (!r.twin.empty()) add_text(out, "twin {}\n", introduction(r.twin.front(), r.ranks));
  add_text(out, "\n");
  add_losses(out, r);

  add_text(out, "\n{} generated images for each number of {} steps (guidance {}, seed {})\n\n", r.samples,
           name_of(r.sampler), r.guidance, r.seed);
  add_text(out, "              class  Frechet, pixels to   Frechet, features to   FLOPs per   end to end  seconds\n");
  add_text(out, "      steps  agrees   training held-out    training held-out        image  likewise  per image\n");
  add_generation(out, r.twin.empty() ? "" : "run", r.run);
  if (!r.twin.empty()) add_generation(out, "twin", r.twin.front());
  add_text(out, "real         {:>7.1f}%  {:>9.3f}            {:>9.3f}                (held-out images: the floor)\n",
           100 * r.classifier.heldout_accuracy, r.floor_pixels, r.floor_features);

  add_text(
      out,
      "\nJudged by a classifier trained on the {} training images ({} parameters, right on {:.1f}% of the held-out "
      "ones).\n",
      r.training_samples, count(static_cast<double>(r.classifier.parameters)), 100 * r.classifier.heldout_accuracy);
  add_text(out,
           "Frechet distances to {} training and {} held-out images: in {} ({} numbers) and in the {} features of\n"
           "that classifier; squared, not the FID.{}\n",
           r.training_images_compared, r.heldout_images_compared, r.pixel_space, r.pixel_dimensions,
           r.feature_dimensions,
           r.fewer_images_than_dimensions() ? " Some sets have fewer images than numbers, so compare only equal counts."
                                            : "");
  return fmt::to_string(out);
}

}  // namespace blocktrain::trainer
