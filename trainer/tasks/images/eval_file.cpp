#include "trainer/tasks/images/eval_file.hpp"

#include <nlohmann/json.hpp>

#include "trainer/eval/eval_head.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const DenoisingLosses& d) {
  Json j;
  j["images"] = d.samples;
  j["draws_per_image"] = d.draws_per_sample;
  j["loss"] = d.loss;
  j["mse"] = d.mse;
  for (const IntervalLoss& b : d.intervals) {
    j["blocks"].push_back({{"block", b.block}, {"sigma", {b.sigma_lo, b.sigma_hi}}, {"loss", b.loss}, {"mse", b.mse}});
  }
  for (const LevelLoss& l : d.levels) {
    j["levels"].push_back({{"sigma", l.sigma}, {"block", l.block}, {"edge", l.edge}, {"loss", l.loss}, {"mse", l.mse}});
  }
  return j;
}

Json to_json(const GenerationResult& g) {
  Json j;
  j["steps"] = g.steps;
  j["agreement"] = g.agreement;
  j["frechet_pixels_training"] = g.frechet.pixels_training;
  j["frechet_pixels_heldout"] = g.frechet.pixels_heldout;
  j["frechet_features_training"] = g.frechet.features_training;
  j["frechet_features_heldout"] = g.frechet.features_heldout;
  j["flops_per_image"] = g.flops_per_image;
  j["end_to_end_flops_per_image"] = g.end_to_end_flops_per_image;
  j["seconds_per_image"] = g.seconds_per_image;
  return j;
}

Json to_json(const NetworkResult& n) {
  Json j = to_json(static_cast<const EvaluatedNetwork&>(n));
  j["denoising"] = to_json(n.denoising);
  j["generation"] = Json::array();
  for (const GenerationResult& g : n.generation) j["generation"].push_back(to_json(g));
  return j;
}

}  // namespace

std::string to_json(const EvalResult& r) {
  Json j = to_json(static_cast<const EvalHead&>(r));
  j["settings"] = {{"images", r.run.denoising.samples},
                   {"samples", r.samples},
                   {"sampler", name_of(r.sampler)},
                   {"guidance", r.guidance},
                   {"seed", r.seed}};
  j["classifier"] = {{"architecture", "mlp, 2 hidden layers, gelu"},
                     {"hidden", r.classifier.settings.hidden},
                     {"parameters", r.classifier.parameters},
                     {"steps", r.classifier.settings.steps},
                     {"seed", r.classifier.settings.seed},
                     {"heldout_accuracy", r.classifier.heldout_accuracy},
                     {"training_accuracy", r.classifier.training_accuracy}};
  j["frechet"] = {{"kind",
                   "squared Frechet distance between normal distributions fitted to generated and real images; not the "
                   "FID, which takes features of an Inception network"},
                  {"pixel_space", r.pixel_space},
                  {"pixel_dimensions", r.pixel_dimensions},
                  {"feature_dimensions", r.feature_dimensions},
                  {"training_images", r.training_images_compared},
                  {"heldout_images", r.heldout_images_compared},
                  {"samples", r.samples},
                  {"covariance_singular", r.fewer_images_than_dimensions()},
                  {"floor_pixels", r.floor_pixels},
                  {"floor_features", r.floor_features}};
  j["run"] = to_json(r.run);
  j["twin"] = r.twin.empty() ? Json(nullptr) : to_json(r.twin.front());
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace blocktrain::trainer
