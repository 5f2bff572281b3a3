#include "trainer/tasks/labels/label_eval_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "trainer/eval/eval_head.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::ordered_json;
using Text = fmt::memory_buffer;

Json to_json(const LabelNetworkResult& n) {
  Json j = to_json(static_cast<const EvaluatedNetwork&>(n));
  j["blocks"] = n.blocks;
  j["of_blocks"] = n.of_blocks;
  j["accuracy_at_sigma_max"] = n.at_sigma_max().accuracy;
  j["cross_entropy_at_sigma_max"] = n.at_sigma_max().cross_entropy;
  j["answers"] = Json::array();
  for (const AnswerScore& a : n.scores.answers) {
    j["answers"].push_back({{"steps", a.steps},
                            {"accuracy", a.score.accuracy},
                            {"cross_entropy", a.score.cross_entropy},
                            {"flops_per_image", a.flops_per_sample}});
  }
  j["levels"] = Json::array();
  for (const LevelScore& l : n.scores.levels) {
    j["levels"].push_back({{"sigma", l.level.sigma},
                           {"block", l.level.block},
                           {"edge", l.level.edge},
                           {"accuracy", l.score.accuracy},
                           {"cross_entropy", l.score.cross_entropy}});
  }
  return j;
}

void add_answers(Text& out, const char* name, const LabelNetworkResult& n) {
  for (const AnswerScore& a : n.scores.answers) {
    add_text(out, "{:<5} {:>5}  {:>8.2f}%  {:>13.4f}  {:>15}\n", name, a.steps == 0 ? "-" : std::to_string(a.steps),
             100 * a.score.accuracy, a.score.cross_entropy, count(a.flops_per_sample));
  }
}

void add_levels(Text& out, const LabelNetworkResult& run, const LabelNetworkResult* twin) {
  add_text(out, "     sigma  block  accuracy  cross-entropy{}\n",
           twin != nullptr ? "   twin: accuracy  cross-entropy" : "");
  for (std::size_t i = 0; i < run.scores.levels.size(); ++i) {
    const LevelScore& l = run.scores.levels[i];
    add_text(out, "{:>10.4g}  {:>5}  {:>7.2f}%  {:>13.4f}", l.level.sigma, l.level.block, 100 * l.score.accuracy,
             l.score.cross_entropy);
    if (twin != nullptr) {
      const ClassScore& other = twin->scores.levels[i].score;
      add_text(out, "  {:>14.2f}%  {:>13.4f}", 100 * other.accuracy, other.cross_entropy);
    }
    add_text(out, "{}\n", l.level.edge ? "  edge" : "");
  }
}

}  // namespace

std::string to_json(const LabelEvalResult& r) {
  Json j = to_json(static_cast<const EvalHead&>(r));
  j["settings"] = {{"task", "labels"}, {"images", r.run.scores.samples}, {"steps", r.steps}, {"seed", r.seed}};
  j["run"] = to_json(r.run);
  j["twin"] = r.twin.empty() ? Json(nullptr) : to_json(r.twin.front());
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_table(const LabelEvalResult& r) {
  Text out;
  const LabelNetworkResult* twin = r.twin.empty() ? nullptr : &r.twin.front();
  add_text(out, "{}\n", introduction(r.run, r.ranks));
  if (twin != nullptr) add_text(out, "twin {}\n", introduction(*twin, r.ranks));

  add_text(out, "\nClasses of {} held-out images\n\n", r.run.scores.samples);
  add_text(out, "      steps   accuracy  cross-entropy  FLOPs per image\n");
  add_answers(out, twin != nullptr ? "run" : "", r.run);
  if (twin != nullptr) add_answers(out, "twin", *twin);

  const LabelNetworkResult& noisy = r.run.scores.levels.empty() && twin != nullptr ? *twin : r.run;
  if (!noisy.scores.levels.empty()) {
    add_text(out, "\nGiven the true class under noise\n\n");
    const bool both = twin != nullptr && &noisy != twin && twin->scores.levels.size() >= noisy.scores.levels.size();
    add_levels(out, noisy, both ? twin : nullptr);
  }

  const auto figure = [&](const char* name, const LabelNetworkResult& n) {
    const bool has_noise = !n.scores.levels.empty();
    add_text(out, "{}: cross-entropy {}{:.4f}, accuracy {:.2f}%\n", name, has_noise ? "at sigma_max " : "",
             n.at_sigma_max().cross_entropy, 100 * n.at_sigma_max().accuracy);
  };
  add_text(
      out,
      "\nWhat the image alone tells, in nats (lower noise levels give the class away: do not compare by them)\n\n");
  figure(twin != nullptr ? "run " : "network", r.run);
  if (twin != nullptr) figure("twin", *twin);
  return fmt::to_string(out);
}

EvalRow ledger_row(const LabelEvalResult& result) {
  const LabelNetworkResult& run = result.run;
  EvalRow row;
  row.step = *std::min_element(run.steps.begin(), run.steps.end());
  row.samples = run.scores.samples;
  row.seconds = result.seconds;
  const std::string of = run.blocks < run.of_blocks ? fmt::format("first_{}_blocks_", run.blocks) : std::string();
  const auto note = [&](const std::string& where, const ClassScore& score) {
    row.metrics.emplace_back(of + "accuracy" + where, score.accuracy);
    row.metrics.emplace_back(of + "cross_entropy" + where, score.cross_entropy);
  };
  for (const AnswerScore& a : run.scores.answers) {
    note(a.steps == 0 ? std::string() : fmt::format("_{}_steps", a.steps), a.score);
  }
  if (!run.scores.levels.empty()) note("_at_sigma_max", run.at_sigma_max());
  return row;
}

}  // namespace blocktrain::trainer
