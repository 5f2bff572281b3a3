#include "trainer/tasks/tokens/token_outline.hpp"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "trainer/support/units.hpp"
#include "trainer/tasks/tokens/token_bin.hpp"
#include "trainer/tasks/tokens/token_files.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"

namespace blocktrain::trainer {
namespace {

using nlohmann::ordered_json;

/// Tokens of both splits, and their windows where these follow from the numbers alone.
struct Sizes {
  std::int64_t training = 0, heldout = 0;
  std::optional<std::int64_t> training_windows, heldout_windows;
};

/// A split of so many tokens, of which nothing else is known.
TokenSplit split_of(std::int64_t tokens) { return {{{0, 0, tokens}}, {0, tokens}, 0}; }

std::int64_t tokens_in(const std::vector<TokenFile>& files, TokenFormat format) {
  std::int64_t sum = 0;
  for (const TokenFile& file : files) {
    sum += is_tokenized(format) ? read_bin_layout(format, map_token_file(file).bytes(), file.name).tokens
                                : static_cast<std::int64_t>(file.bytes);
  }
  return sum;
}

/// Nothing where how many tokens there are is known only once they are made.
std::optional<Sizes> sizes_of(const TokenFiles& files, const TokenDataOptions& options, std::int64_t context) {
  if (!is_tokenized(files.format) && !options.takes_bytes()) return std::nullopt;
  Sizes sizes{tokens_in(files.training, files.format), tokens_in(files.heldout, files.format), {}, {}};
  const bool cut = files.heldout.empty();
  if (cut && sizes.training >= 2) {
    const std::int64_t all = sizes.training;
    sizes.training = options.kept_tokens(all);
    sizes.heldout = all - sizes.training;
  }
  if (options.documents == DocumentMode::apart || options.deduplicate == Deduplication::exact) return sizes;
  const auto count = [&](Split split, std::int64_t tokens) {
    const TokenWindows windows(split_of(tokens), false, context, split);
    require_windows(files.where, windows, split, tokens, cut);
    return windows.count();
  };
  sizes.training_windows = count(Split::train, sizes.training);
  sizes.heldout_windows = count(Split::heldout, sizes.heldout);
  return sizes;
}

ordered_json or_null(const std::optional<std::int64_t>& number) {
  return number ? ordered_json(*number) : ordered_json();
}

}  // namespace

DataOutline outline_tokens(const std::string& path, const TokenDataOptions& options, std::int64_t context) {
  std::optional<TokenFiles> files;
  std::string absent;
  try {
    files = find_token_files(path, options.format);
  } catch (const DataAbsent& e) {
    const std::string why = e.what();
    absent = why.substr(0, why.find("; "));
  }
  // Of data that are not there yet: text, where the config does not say that they are ids.
  const bool ids = is_tokenized(options.format) || (options.takes_bytes() && options.vocabulary > 0);
  const TokenFormat format = files ? files->format : ids ? TokenFormat::nanogpt : TokenFormat::text;
  const std::shared_ptr<const Tokenizer> tokenizer = tokenizer_for(format, options);
  const std::int64_t vocabulary = vocabulary_for(format, options, tokenizer.get(), path);
  const std::string symbols = symbols_of(tokenizer.get(), vocabulary);
  const std::optional<Sizes> sizes = files ? sizes_of(*files, options, context) : std::nullopt;

  DataOutline outline;
  outline.layout = token_layout(context, vocabulary);
  const bool cut = files && files->heldout.empty();
  const std::string last = cut ? fmt::format(": the last {:.3g}%", 100 * options.heldout) : "";
  if (!files) {
    outline.text = fmt::format("on windows of {} tokens ({}):\n{}", context, symbols, absent);
  } else if (!sizes) {
    outline.text = fmt::format(
        "on {} of text in windows of {} tokens ({}){}\nHow many tokens it has is known once it is "
        "read, by train.",
        bytes(static_cast<double>(files->bytes())), context, symbols, cut ? ", held out" + last : "");
  } else {
    const bool known = sizes->training_windows.has_value();
    outline.text =
        fmt::format("on {} tokens ({}) in {}windows of {} ({} held out{}){}", grouped(sizes->training), symbols,
                    known ? grouped(*sizes->training_windows) + " " : "", context, grouped(sizes->heldout), last,
                    known ? "" : "\nBy the sizes of the files; documents are looked for by train.");
  }
  if (files) {
    for (const std::string& note : files->notes) outline.notes.push_back(note);
  }
  ordered_json j;
  j["format"] = name_of(format);
  j["context"] = context;
  j["vocabulary"] = vocabulary;
  j["symbols"] = symbols;
  j["files"] = files ? ordered_json(files->training.size() + files->heldout.size()) : ordered_json();
  j["bytes"] = files ? ordered_json(files->bytes()) : ordered_json();
  j["training_tokens"] = sizes ? ordered_json(sizes->training) : ordered_json();
  j["heldout_tokens"] = sizes ? ordered_json(sizes->heldout) : ordered_json();
  j["training_windows"] = or_null(sizes ? sizes->training_windows : std::nullopt);
  j["heldout_windows"] = or_null(sizes ? sizes->heldout_windows : std::nullopt);
  j["absent"] = files ? ordered_json() : ordered_json(absent);
  j["notes"] = outline.notes;
  outline.json = j.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return outline;
}

}  // namespace blocktrain::trainer
