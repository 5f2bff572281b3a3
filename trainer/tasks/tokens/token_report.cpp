#include "trainer/tasks/tokens/token_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/support/text.hpp"
#include "trainer/support/units.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/tasks/tokens/token_dataset.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"

namespace blocktrain::trainer {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t sample_tokens = 320;

/// Tokens from the middle of what is trained on.
std::vector<std::int32_t> sample_of(const TokenDataset& data) {
  const std::int64_t all = data.split(Split::train).tokens(), shown = std::min(all, sample_tokens);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(shown));
  data.copy(Split::train, (all - shown) / 2, ids);
  return ids;
}

std::string decoded(const TokenDataset& data, const std::vector<std::int32_t>& ids) {
  std::string text;
  if (data.tokenizer() != nullptr) data.tokenizer()->decode(ids, text);
  return text;
}

/// The lines of a text from strangers, each behind a mark.
std::string as_lines(const std::string& text) {
  std::string lines = "  | ";
  for (const char c : for_terminal(text)) {
    lines += c;
    if (c == '\n') lines += "  | ";
  }
  return lines + "\n";
}

std::string documents_in_words(const TokenDataset& data, const TokenDataOptions& options) {
  const std::int64_t training = data.split(Split::train).documents, heldout = data.split(Split::heldout).documents;
  std::string text = fmt::format("{} to train on, {} held out", grouped(training), grouped(heldout));
  if (is_tokenized(data.format())) {
    const bool ends = options.end_of_text >= 0 || (data.tokenizer() != nullptr && data.tokenizer()->end_of_text());
    return text +
           (ends ? ", told apart by the id that ends them" : ": each file is one (data.end_of_text splits them)");
  }
  return text + (options.separator.empty() ? ": each file is one (data.separator splits them)"
                                           : ", told apart by data.separator");
}

std::string duplicates_in_words(const TokenDataset& data, const TokenDataOptions& options) {
  const DuplicateDocuments& d = data.duplicates();
  if (d.documents == 0) return "no document to train on is there before or held out";
  return fmt::format(
      "{} documents to train on are there before or held out, {} tokens, {:.2f}% of those to train on: {}",
      grouped(d.documents), grouped(d.tokens), 100 * d.share(),
      options.deduplicate == Deduplication::exact ? "left out (data.deduplicate exact)"
                                                  : "data.deduplicate exact leaves them out");
}

}  // namespace

DataReport report_tokens(const std::string& path, const TokenDataOptions& options) {
  const TokenDataset data = TokenDataset::open(path, options, LookForDocuments::always);
  const std::int64_t training = data.split(Split::train).tokens(), heldout = data.split(Split::heldout).tokens();
  std::int64_t ids_used = 0;
  for (const std::int64_t n : data.counts(Split::train)) ids_used += n > 0 ? 1 : 0;
  const std::vector<std::int32_t> sample = sample_of(data);
  const std::string text = decoded(data, sample);
  const std::string digest = data.digest();
  data.require_unchanged();

  DataReport report;
  report.notes = data.notes();
  const std::string kind = is_tokenized(data.format()) ? "ids (" + std::string(name_of(data.format())) + ")"
                                                       : std::string(name_of(data.format()));
  const auto row = [&](std::string_view name, const std::string& what) {
    report.text += fmt::format("{:<12}{}\n", name, what);
  };
  row("files", fmt::format("{} of {}, {}", grouped(data.files()), kind, bytes(static_cast<double>(data.file_bytes()))));
  row("tokens", fmt::format("{} to train on, {} held out{}", grouped(training), grouped(heldout),
                            data.heldout_is_cut() ? fmt::format(": the last {:.3g}%", 100 * options.heldout)
                                                  : ", in files of their own"));
  row("made by", fmt::format("{}; of {} ids {} are there to train on{}", data.symbols(), grouped(data.vocabulary()),
                             grouped(ids_used),
                             is_tokenized(data.format()) || options.takes_bytes()
                                 ? std::string()
                                 : fmt::format("; {:.2f} bytes per token, made in {}",
                                               static_cast<double>(data.file_bytes()) /
                                                   static_cast<double>(std::max<std::int64_t>(training + heldout, 1)),
                                               duration(data.tokenizing_seconds()))));
  row("documents", documents_in_words(data, options));
  row("duplicates", duplicates_in_words(data, options));
  row("digest", digest);
  report.text += fmt::format("\n{} tokens from the middle of what is trained on:\n", sample.size());
  report.text += data.tokenizer() != nullptr ? as_lines(text) : "  " + join(sample, " ") + "\n";

  ordered_json j;
  j["task"] = "tokens";
  j["path"] = path;
  j["format"] = name_of(data.format());
  j["files"] = data.files();
  j["bytes"] = data.file_bytes();
  j["symbols"] = data.symbols();
  j["vocabulary"] = data.vocabulary();
  j["ids_used"] = ids_used;
  j["training_tokens"] = training;
  j["heldout_tokens"] = heldout;
  j["heldout_is_cut"] = data.heldout_is_cut();
  j["training_documents"] = data.split(Split::train).documents;
  j["heldout_documents"] = data.split(Split::heldout).documents;
  j["duplicates"] = {{"documents", data.duplicates().documents},
                     {"tokens", data.duplicates().tokens},
                     {"share", data.duplicates().share()},
                     {"left_out", options.deduplicate == Deduplication::exact}};
  j["tokenizing_seconds"] = data.tokenizing_seconds();
  j["digest"] = digest;
  j["sample"] = {{"ids", sample}, {"text", data.tokenizer() != nullptr ? ordered_json(text) : ordered_json()}};
  j["notes"] = report.notes;
  report.json = j.dump(2, ' ', false, ordered_json::error_handler_t::replace);
  return report;
}

}  // namespace blocktrain::trainer
