#include "trainer/tasks/tokens/tokenizers/tokenizer_json.hpp"

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_parts.hpp"
#include "trainer/tasks/tokens/tokenizers/bpe_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/for_messages.hpp"

namespace blocktrain::trainer {
namespace {

using Json = nlohmann::json;

/// The largest vocabularies there are make files of 35 MB, with 2 million values five levels deep.
constexpr std::size_t most_bytes = std::size_t{256} << 20;
constexpr std::size_t most_values = std::size_t{1} << 23;
constexpr int most_levels = 64;

class Reader {
 public:
  explicit Reader(const std::string& path) : place_("tokenizer " + path) {}

  [[noreturn]] void fail(const std::string& what) const { throw InputError(place_ + ": " + what); }

  Json parse(std::string_view text) const;
  void read_model(const Json& model, BpeParts& parts) const;
  void read_added(const Json& root, BpeParts& parts) const;
  void read_normalizer(const Json& normalizer, const std::string& where, BpeParts& parts) const;
  void read_pre_tokenizer(const Json& root, BpeParts& parts) const;

  const std::string& place() const { return place_; }

 private:
  [[noreturn]] void wrong(const std::string& where, const Json& found, const std::string& accepted) const;
  /// Of an object: the value of `key`, null where it is absent.
  const Json& member(const Json& object, const char* key) const;
  bool flag(const Json& object, const std::string& where, const char* key, bool absent) const;
  std::string text(const Json& object, const std::string& where, const char* key) const;
  void read_vocabulary(const Json& vocabulary, BpeParts& parts) const;
  void read_merges(const Json& merges, BpeParts& parts) const;
  std::pair<std::string_view, std::string_view> merge(const Json& entry, std::size_t at) const;
  void read_stage(const Json& stage, const std::string& where, BpeParts& parts, bool& byte_level) const;
  void read_split(const Json& stage, const std::string& where, BpeParts& parts) const;
  std::int32_t id(const Json& value, const std::string& where) const;

  std::string place_;
};

const Json absent;

Json Reader::parse(std::string_view text) const {
  if (text.size() > most_bytes) {
    fail("has " + std::to_string(text.size()) + " bytes; accepted: at most " + std::to_string(most_bytes));
  }
  std::size_t values = 0;
  const Json::parser_callback_t watch = [&](int level, Json::parse_event_t event, Json&) {
    if (level > most_levels) fail("is nested more than " + std::to_string(most_levels) + " levels deep");
    if (event != Json::parse_event_t::array_end && event != Json::parse_event_t::object_end && ++values > most_values) {
      fail("has more than " + std::to_string(most_values) + " values");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    fail("is not JSON: something is wrong at byte " + std::to_string(error.byte) +
         "; it may be cut short: fetch or copy it again");
  } catch (const Json::exception& error) {
    fail(std::string("is not JSON that can be read: ") + error.what());
  }
}

void Reader::wrong(const std::string& where, const Json& found, const std::string& accepted) const {
  std::string value = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (value.size() > 200) value = value.substr(0, 200) + "...";
  fail(where + ": found " + value + "; accepted: " + accepted);
}

const Json& Reader::member(const Json& object, const char* key) const {
  const auto found = object.find(key);
  return found == object.end() ? absent : *found;
}

bool Reader::flag(const Json& object, const std::string& where, const char* key, bool if_absent) const {
  const Json& value = member(object, key);
  if (value.is_null()) return if_absent;
  if (!value.is_boolean()) wrong(where + "." + key, value, "true or false");
  return value.get<bool>();
}

std::string Reader::text(const Json& object, const std::string& where, const char* key) const {
  const Json& value = member(object, key);
  if (!value.is_string()) wrong(where + "." + key, value, "a text");
  return value.get<std::string>();
}

/// Whether it is a whole number that may be an id.
bool is_id(const Json& value) {
  if (!value.is_number_integer()) return false;
  // Unsigned numbers beyond int64 would come out negative.
  return value.is_number_unsigned() ? value.get<std::uint64_t>() < static_cast<std::uint64_t>(most_tokens)
                                    : value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() < most_tokens;
}

std::int32_t Reader::id(const Json& value, const std::string& where) const {
  if (!is_id(value)) wrong(where, value, "a whole number from 0 to " + std::to_string(most_tokens - 1));
  return value.get<std::int32_t>();
}

void Reader::read_vocabulary(const Json& vocabulary, BpeParts& parts) const {
  if (!vocabulary.is_object()) wrong("model.vocab", vocabulary, "an object {TOKEN: ID}");
  for (const auto& [token, value] : vocabulary.items()) {
    // Words are made for what is wrong alone: there are many of them.
    const auto at = static_cast<std::size_t>(is_id(value) ? value.get<std::int32_t>()
                                                          : id(value, "model.vocab, token " + quoted_token(token)));
    if (token.empty()) fail("model.vocab: the token of id " + std::to_string(at) + " is empty");
    if (parts.tokens.size() <= at) parts.tokens.resize(at + 1);
    if (!parts.tokens[at].empty()) {
      fail("model.vocab: " + quoted_token(parts.tokens[at]) + " and " + quoted_token(token) + " both have the id " +
           std::to_string(at));
    }
    parts.tokens[at] = token;
  }
}

std::pair<std::string_view, std::string_view> Reader::merge(const Json& entry, std::size_t at) const {
  if (entry.is_string()) {
    const std::string_view both = entry.get_ref<const std::string&>();
    const std::size_t blank = both.find(' ');
    if (blank != std::string_view::npos && both.find(' ', blank + 1) == std::string_view::npos) {
      return {both.substr(0, blank), both.substr(blank + 1)};
    }
  } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
    return {entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>()};
  }
  wrong("model.merges, entry " + std::to_string(at), entry, "\"A B\" or [\"A\", \"B\"]");
}

void Reader::read_merges(const Json& merges, BpeParts& parts) const {
  if (!merges.is_array()) wrong("model.merges", merges, "a list of pairs");
  parts.merges.reserve(merges.size());
  for (std::size_t at = 0; at < merges.size(); ++at) parts.merges.push_back(merge(merges[at], at));
}

void Reader::read_model(const Json& model, BpeParts& parts) const {
  if (!model.is_object()) wrong("model", model, "an object");
  // Older files do not name the type of theirs.
  const Json& type = member(model, "type");
  if (!type.is_null() && type != "BPE") wrong("model.type", type, "\"BPE\"");
  if (type.is_null() && !model.contains("merges")) fail("model: is not of type BPE, for it has no merges");
  const Json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) wrong("model.dropout", dropout, "null: pieces are always merged");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = member(model, key);
    if (!affix.is_null() && affix != "") wrong(std::string("model.") + key, affix, "null: BPE of bytes has none");
  }
  if (flag(model, "model", "byte_fallback", false)) {
    fail("model.byte_fallback: found true; accepted: false, tokens spelt in bytes (pre-tokenizer ByteLevel)");
  }
  read_vocabulary(member(model, "vocab"), parts);
  read_merges(member(model, "merges"), parts);
  parts.whole_pieces_first = flag(model, "model", "ignore_merges", false);
  parts.fuse_unknown = flag(model, "model", "fuse_unk", false);
  const Json& unknown = member(model, "unk_token");
  if (unknown.is_null() || unknown == "") return;
  const auto found = unknown.is_string() ? model["vocab"].find(unknown.get<std::string>()) : model["vocab"].end();
  if (found == model["vocab"].end()) wrong("model.unk_token", unknown, "null or a token of the vocabulary");
  parts.unknown = id(*found, "model.unk_token");
}

void Reader::read_added(const Json& root, BpeParts& parts) const {
  const Json& tokens = member(root, "added_tokens");
  if (tokens.is_null()) return;
  if (!tokens.is_array()) wrong("added_tokens", tokens, "a list");
  const Json& vocabulary = root["model"]["vocab"];
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    const std::string where = "added_tokens, entry " + std::to_string(at);
    const Json& token = tokens[at];
    if (!token.is_object()) wrong(where, token, "an object");
    AddedToken added;
    added.text = text(token, where, "content");
    added.id = id(member(token, "id"), where + ".id");
    if (flag(token, where, "single_word", false)) {
      fail(where + ".single_word: found true; accepted: false, the token is found wherever it stands");
    }
    added.eats_left = flag(token, where, "lstrip", false);
    added.eats_right = flag(token, where, "rstrip", false);
    added.normalized = flag(token, where, "normalized", !flag(token, where, "special", false));
    const auto listed = vocabulary.find(added.text);
    const auto number = static_cast<std::size_t>(added.id);
    if (parts.tokens.size() <= number) parts.tokens.resize(number + 1);
    const bool same = listed != vocabulary.end() ? *listed == added.id : parts.tokens[number].empty();
    if (!same) {
      fail(where + ": " + quoted_token(added.text) + " has the id " + std::to_string(added.id) +
           ", and model.vocab says otherwise");
    }
    parts.tokens[number] = added.text;
    parts.added.push_back(std::move(added));
  }
}

void Reader::read_normalizer(const Json& normalizer, const std::string& where, BpeParts& parts) const {
  if (normalizer.is_null()) return;
  const std::string accepted = "null, NFC, or a Sequence of these";
  if (!normalizer.is_object()) wrong(where, normalizer, accepted);
  const Json& type = member(normalizer, "type");
  if (type == "NFC") {
    parts.normal_form_c = true;
    return;
  }
  if (type != "Sequence") wrong(where + ".type", type, accepted);
  const Json& stages = member(normalizer, "normalizers");
  if (!stages.is_array()) wrong(where + ".normalizers", stages, "a list");
  for (const Json& stage : stages) read_normalizer(stage, where + ".normalizers", parts);
}

void Reader::read_split(const Json& stage, const std::string& where, BpeParts& parts) const {
  const Json& pattern = member(stage, "pattern");
  const Json& regex = pattern.is_object() ? member(pattern, "Regex") : absent;
  const auto cut = regex.is_string() ? cut_of_pattern(regex.get_ref<const std::string&>()) : std::nullopt;
  if (!cut) wrong(where + ".pattern", pattern, "a Regex that is known: " + known_patterns());
  // Known patterns leave nothing out, except for numbers alone; so what does not match may be removed, or kept.
  const bool invert = flag(stage, where, "invert", false);
  const bool everything = *cut != Cut::each_number && *cut != Cut::number_runs;
  const Json& behavior = member(stage, "behavior");
  if (!(behavior == "Isolated" && !invert) && !(everything && behavior == "Removed" && invert)) {
    wrong(where + ".behavior", behavior, "\"Isolated\" with invert: false");
  }
  parts.cuts.push_back(*cut);
}

void Reader::read_stage(const Json& stage, const std::string& where, BpeParts& parts, bool& byte_level) const {
  if (!stage.is_object()) wrong(where, stage, "an object");
  const Json& type = member(stage, "type");
  if (byte_level) fail(where + ": follows ByteLevel, which has to be the last");
  if (type == "ByteLevel") {
    byte_level = true;
    parts.prefix_space = flag(stage, where, "add_prefix_space", true);
    parts.cut_by_gpt2 = flag(stage, where, "use_regex", true);
  } else if (type == "Digits") {
    parts.cuts.push_back(flag(stage, where, "individual_digits", false) ? Cut::each_number : Cut::number_runs);
  } else if (type == "Split") {
    read_split(stage, where, parts);
  } else {
    wrong(where + ".type", type, "ByteLevel, Digits, Split, or one Sequence of these");
  }
}

void Reader::read_pre_tokenizer(const Json& root, BpeParts& parts) const {
  const Json& pre_tokenizer = member(root, "pre_tokenizer");
  bool byte_level = false;
  if (pre_tokenizer.is_object() && member(pre_tokenizer, "type") == "Sequence") {
    const Json& stages = member(pre_tokenizer, "pretokenizers");
    if (!stages.is_array() || stages.size() > 16) wrong("pre_tokenizer.pretokenizers", stages, "a list of at most 16");
    for (std::size_t at = 0; at < stages.size(); ++at) {
      read_stage(stages[at], "pre_tokenizer.pretokenizers, entry " + std::to_string(at), parts, byte_level);
    }
  } else if (!pre_tokenizer.is_null()) {
    read_stage(pre_tokenizer, "pre_tokenizer", parts, byte_level);
  }
  if (!byte_level) fail("pre_tokenizer: has no ByteLevel; accepted: BPE of bytes");
}

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer_json(std::string_view text, const std::string& path) {
  const Reader reader(path);
  const Json root = reader.parse(text);
  if (!root.is_object() || !root.contains("model")) {
    reader.fail("has no model; accepted: a tokenizer.json as Hugging Face's tokenizers write it");
  }
  BpeParts parts;
  reader.read_model(root["model"], parts);
  reader.read_added(root, parts);
  reader.read_normalizer(root.value("normalizer", Json()), "normalizer", parts);
  reader.read_pre_tokenizer(root, parts);
  parts.place = reader.place();
  parts.origin = std::filesystem::path(path).filename().string();
  parts.digest = sha256_hex(text);
  return std::make_unique<BpeTokenizer>(parts);
}

}  // namespace blocktrain::trainer
