#include "trainer/eval/eval_head.hpp"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "trainer/support/version.hpp"

namespace blocktrain::trainer {

using Json = nlohmann::ordered_json;

EvalHead eval_head(TrainedNetwork& run, const Samples& data) {
  EvalHead head;
  head.ranks = run.ranks().size();
  head.data_path = run.config().data.path;
  head.data_digest = run.data().digest;
  head.samples = task_entry_of(architecture_of(run.config())).samples;
  head.training_samples = data.count(Split::train);
  head.heldout_samples = data.count(Split::heldout);
  return head;
}

EvaluatedNetwork evaluated_network(const TrainedNetwork& network) {
  EvaluatedNetwork n;
  n.folder = network.folder();
  n.summary = network.summary();
  n.computed_on = network.computed_on();
  n.training = name_of(network.config().blocks.training);
  n.experiment = network.experiment();
  n.steps = network.steps();
  n.parameters = network.parameter_count();
  return n;
}

std::string introduction(const EvaluatedNetwork& network, int ranks) {
  return fmt::format("{}: {}; on {}{}", network.folder, network.summary, network.computed_on,
                     ranks > 1 ? fmt::format(", {} ranks", ranks) : std::string());
}

Json to_json(const EvalHead& head) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  Json j;
  j["format"] = "blocktrain-eval";
  j["version"] = eval_file_version;
  j["program"] = std::string("blocktrain ") + version();
  j["time"] = now.count();
  j["seconds"] = head.seconds;
  j["ranks"] = head.ranks;
  j["data"] = {{"path", head.data_path},
               {"digest", head.data_digest},
               {"training_" + head.samples, head.training_samples},
               {"heldout_" + head.samples, head.heldout_samples}};
  return j;
}

Json to_json(const EvaluatedNetwork& network) {
  Json j;
  j["folder"] = network.folder;
  j["summary"] = network.summary;
  j["computed_on"] = network.computed_on;
  j["training"] = network.training;
  j["experiment"] = network.experiment;
  j["steps"] = network.steps;
  j["parameters"] = network.parameters;
  return j;
}

}  // namespace blocktrain::trainer
