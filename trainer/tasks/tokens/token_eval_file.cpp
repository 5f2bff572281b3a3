#include "trainer/tasks/tokens/token_eval_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::ordered_json;
using Text = fmt::memory_buffer;

Json number_or_null(std::optional<double> value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json to_json(const TokenEvalResult& r, const TokenNetworkResult& n) {
  Json j = to_json(static_cast<const EvaluatedNetwork&>(n));
  const double nats = n.bound.nats_per_token, error = n.bound.standard_error;
  j["bound"] = {{"nats_per_token", number_or_null(nats)},
                {"standard_error", number_or_null(error)},
                {"perplexity", number_or_null(std::exp(nats))},
                {"bits_per_byte", number_or_null(r.bits_per_byte(nats))},
                {"bits_per_byte_error", number_or_null(r.bits_per_byte(error))},
                {"bits_per_character", number_or_null(r.bits_per_character(nats))},
                {"bits_per_character_error", number_or_null(r.bits_per_character(error))}};
  j["intervals"] = Json::array();
  for (const MaskedInterval& i : n.bound.intervals) {
    j["intervals"].push_back(
        {{"block", i.block}, {"masked", {i.masked_lo, i.masked_hi}}, {"loss", number_or_null(i.loss)}});
  }
  j["levels"] = Json::array();
  for (const MaskedLevel& l : n.bound.levels) {
    j["levels"].push_back({{"masked", l.masked}, {"block", l.block}, {"loss", number_or_null(l.loss)}});
  }
  return j;
}

void add_bound(Text& out, const TokenEvalResult& r, const char* name, const MaskedBound& bound) {
  const double nats = bound.nats_per_token, error = bound.standard_error;
  add_text(out, "{}: {:.4f} +- {:.4f} nats per token, perplexity {:.4g}", name, nats, error, std::exp(nats));
  if (const auto bits = r.bits_per_character(nats)) {
    add_text(out, "; {:.4f} +- {:.4f} bits per character", *bits, *r.bits_per_character(error));
  }
  if (const auto bits = r.bits_per_byte(nats); bits && r.text->bytes != r.text->characters) {
    add_text(out, ", {:.4f} per byte", *bits);
  }
  add_text(out, "\n");
}

}  // namespace

std::string to_json(const TokenEvalResult& r) {
  Json j = to_json(static_cast<const EvalHead&>(r));
  j["settings"] = {{"task", "tokens"},     {"windows", r.run.bound.windows}, {"draws", r.run.bound.draws_per_window},
                   {"context", r.context}, {"vocabulary", r.vocabulary},     {"seed", r.seed}};
  j["text"] = nullptr;
  if (r.text) {
    j["text"] = {{"tokens", r.text->tokens}, {"bytes", r.text->bytes}, {"characters", r.text->characters}};
  }
  j["run"] = to_json(r, r.run);
  j["twin"] = r.twin.empty() ? Json(nullptr) : to_json(r, r.twin.front());
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_table(const TokenEvalResult& r) {
  Text out;
  const MaskedBound* twin = r.twin.empty() ? nullptr : &r.twin.front().bound;
  add_text(out, "{}\n", introduction(r.run, r.ranks));
  if (twin != nullptr) add_text(out, "twin {}\n", introduction(r.twin.front(), r.ranks));

  add_text(out, "\nCross-entropy of a masked token, nats, in {} held-out windows of {} tokens, {} draws each\n\n",
           r.run.bound.windows, r.context, r.run.bound.draws_per_window);
  add_text(out, "         masked  block      loss{}\n", twin != nullptr ? "      twin" : "");
  const auto row = [&](const std::string& masked, int block, double loss, double other) {
    add_text(out, "{:>15}  {:>5}  {:>8.4f}", masked, block, loss);
    if (twin != nullptr) add_text(out, "  {:>8.4f}", other);
    add_text(out, "\n");
  };
  for (std::size_t i = 0; i < r.run.bound.levels.size(); ++i) {
    const MaskedLevel& l = r.run.bound.levels[i];
    row(std::to_string(l.masked), l.block, l.loss, twin != nullptr ? twin->levels[i].loss : 0);
  }
  add_text(out, "\nmeans of what each block owns\n\n");
  for (std::size_t i = 0; i < r.run.bound.intervals.size(); ++i) {
    const MaskedInterval& l = r.run.bound.intervals[i];
    row(fmt::format("{} .. {}", l.masked_hi, l.masked_lo + 1), l.block, l.loss,
        twin != nullptr ? twin->intervals[i].loss : 0);
  }

  add_text(out, "\nThe text is no less likely than this bound says\n\n");
  add_bound(out, r, twin != nullptr ? "run " : "network", r.run.bound);
  if (twin != nullptr) add_bound(out, r, "twin", *twin);
  return fmt::to_string(out);
}

EvalRow ledger_row(const TokenEvalResult& r) {
  EvalRow row;
  row.step = *std::min_element(r.run.steps.begin(), r.run.steps.end());
  row.samples = r.run.bound.windows;
  row.seconds = r.seconds;
  const double nats = r.run.bound.nats_per_token;
  row.metrics.emplace_back("bound_nats_per_token", nats);
  row.metrics.emplace_back("bound_standard_error", r.run.bound.standard_error);
  if (const auto bits = r.bits_per_byte(nats)) row.metrics.emplace_back("bound_bits_per_byte", *bits);
  if (const auto bits = r.bits_per_character(nats)) row.metrics.emplace_back("bound_bits_per_character", *bits);
  for (const MaskedInterval& i : r.run.bound.intervals) {
    row.metrics.emplace_back(fmt::format("bound_block_{}", i.block), i.loss);
  }
  return row;
}

}  // namespace blocktrain::trainer
