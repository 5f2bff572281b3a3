#include "trainer/config/load.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>

#include "kernels/error.hpp"
#include "trainer/config/check.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/document.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/config/values.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::size_t kMostProblemsShown = 10;
constexpr std::size_t kLongestChain = 16;
constexpr const char* kAcceptedText = "`key: value` lines under `section:` lines, indented by spaces (see configs/)";
constexpr int kCommandLine = std::numeric_limits<int>::max();

/// Where a value was given: the file's place in the order of reports, and how a message names the place.
struct Origin {
  int order = 0;
  int line = 0;
  std::string place;
};

struct Problem {
  int order = 0, line = 0;
  std::string text;
};

/// One file or override that is being applied.
struct Source {
  int order = 0;
  std::string name;
  Origin at(int line) const {
    return {order, line, order == kCommandLine || line == 0 ? name : name + ":" + std::to_string(line)};
  }
};

std::string in_words(const SyntaxError& error, const char* otherwise) {
  return std::string(error.what()) + "; accepted: " + (error.accepted.empty() ? otherwise : error.accepted);
}

class Loader {
 public:
  explicit Loader(const ReadConfigFile& read) : read_(read), fields_(describe(config_)), given_(fields_.size()) {}
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Config load(const ConfigFile& file, const std::string& name, const std::vector<std::string>& overrides,
              const std::string& run_folder) {
    const Source main{0, name};
    apply_file(file, main);
    for (std::size_t i = 0; i < overrides.size(); ++i) apply_override(overrides[i], static_cast<int>(i));
    if (!run_folder.empty() && !incomplete_) take_for_run(run_folder);
    if (!incomplete_) check_required(main);
    if (problems_.empty()) check_conflicts(main);
    if (!problems_.empty()) throw InputError(report());
    return config_;
  }

 private:
  struct Link {
    std::string name, identity;
  };

  /// A file's problems come in the order of its lines, so the first ones are those that the report can show; of the
  /// others (a hostile file has thousands) only the number is kept.
  bool shown_in_full(const Origin& origin) const {
    const auto known = problems_per_source_.find(origin.order);
    return known == problems_per_source_.end() || known->second < kMostProblemsShown;
  }

  void problem(const Origin& origin, const std::string& key, const std::string& text) {
    const bool show = shown_in_full(origin);
    ++problems_per_source_[origin.order];
    ++problem_count_;
    if (show)
      problems_.push_back({origin.order, origin.line, origin.place + ": " + (key.empty() ? "" : key + ": ") + text});
  }

  void apply_file(const ConfigFile& file, const Source& source) {
    chain_.push_back({source.name, file.identity});
    try {
      const Node root = parse_document(file.text);
      if (root.kind == Node::Kind::nothing) {
        problem(source.at(0), "", std::string("found no keys; accepted: ") + kAcceptedText);
      } else if (root.kind != Node::Kind::map) {
        problem(source.at(root.line), "", found(root) + "; accepted: " + kAcceptedText);
      } else {
        // What the other file says comes first, wherever the line stands, for this file's own keys win.
        // Only the first `extends`: the second is an error, and following both at every level would never end.
        const auto key =
            std::find_if(root.keys.begin(), root.keys.end(), [](const Node& k) { return k.text == "extends"; });
        if (key != root.keys.end())
          apply_extended(root.items[static_cast<std::size_t>(key - root.keys.begin())], source);
        apply_map(root, source);
      }
    } catch (const SyntaxError& error) {
      incomplete_ = true;
      problem(source.at(error.line), "", in_words(error, kAcceptedText));
    }
    chain_.pop_back();
  }

  void apply_extended(const Node& node, const Source& source) {
    const Origin origin = source.at(node.line);
    if (node.kind != Node::Kind::scalar || node.text.empty()) {
      problem(origin, "extends", found(node) + "; accepted: the path of a config, relative to this file's folder");
      return;
    }
    const std::string path = (std::filesystem::path(source.name).parent_path() / node.text).string();
    ConfigFile file;
    try {
      file = read_(path);
    } catch (const InputError& error) {
      incomplete_ = true;
      problem(origin, "extends", quoted_for_message(path) + ": " + error.what());
      return;
    }
    for (const Link& link : chain_) {
      if (link.identity != file.identity) continue;
      problem(origin, "extends", "found a loop: " + chain_in_words(path) + "; accepted: a chain of files that ends");
      return;
    }
    if (chain_.size() == kLongestChain) {
      problem(origin, "extends",
              "found a chain of more than " + std::to_string(kLongestChain) + " files: " + chain_in_words(path) +
                  "; accepted: a shorter one");
      return;
    }
    apply_file(file, {++last_order_, path});
  }

  std::string chain_in_words(const std::string& last) const {
    std::string words;
    for (const Link& link : chain_) words += link.name + " -> ";
    return words + last;
  }

  using Seen = std::map<std::string_view, int>;  ///< a map's earlier keys and their lines

  /// True for a key that can be used; says what is wrong otherwise.
  bool usable_key(const Node& key, const std::string& section, Seen& seen, const Source& source) {
    const std::string prefix = section.empty() ? "" : section + ".";
    if (key.kind != Node::Kind::scalar) {
      problem(source.at(key.line), section, found(key) + " for a key; accepted: the name of a key");
      return false;
    }
    const auto [earlier, first] = seen.emplace(key.text, key.line);
    if (!first) {
      problem(source.at(key.line), prefix + printable(key.text),
              "found a second time, first on line " + std::to_string(earlier->second) + "; accepted: once");
    }
    return first;
  }

  /// Keys go into messages bare where they look like keys.
  static std::string printable(const std::string& key) {
    const bool plain =
        !key.empty() && key.size() <= 60 &&
        key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == std::string::npos;
    return plain ? key : quoted_for_message(key);
  }

  void apply_map(const Node& root, const Source& source) {
    Seen seen;
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
      const Node& key = root.keys[i];
      if (!usable_key(key, "", seen, source) || key.text == "extends") continue;
      if (is_section(key.text)) {
        apply_section(key.text, root.items[i], source);
      } else {
        apply_value("", key.text, root.items[i], source.at(root.items[i].line), source.at(key.line));
      }
    }
  }

  void apply_section(const std::string& section, const Node& node, const Source& source) {
    if (node.kind != Node::Kind::map) {
      problem(source.at(node.line), section,
              found(node) + "; accepted: keys of this section, indented: " + keys_of(section));
      return;
    }
    Seen seen;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const Node& key = node.keys[i];
      if (!usable_key(key, section, seen, source)) continue;
      apply_value(section, key.text, node.items[i], source.at(node.items[i].line), source.at(key.line));
    }
  }

  void apply_value(const std::string& section, const std::string& key, const Node& value, const Origin& value_at,
                   const Origin& key_at) {
    const auto field = std::find_if(fields_.begin(), fields_.end(),
                                    [&](const Field& f) { return f.section == section && f.key == key; });
    if (field == fields_.end()) {
      unknown_key(section, key, key_at);
      return;
    }
    given_[static_cast<std::size_t>(field - fields_.begin())] = Given{value_at, ++assignments_};
    if (const auto wrong = assign(*field, value)) problem(value_at, field->name(), *wrong);
  }

  void unknown_key(const std::string& section, const std::string& key, const Origin& origin) {
    std::string text = "found an unknown key";
    if (!shown_in_full(origin)) return problem(origin, key, text);  // suggestions take time
    if (const std::string near = suggest_key(section, key, fields_); !near.empty()) text += " (" + near + ")";
    text += "; accepted: ";
    text += section.empty() ? "seed, extends and the sections " + section_names() : keys_of(section);
    problem(origin, (section.empty() ? "" : section + ".") + printable(key), text);
  }

  /// "a.b=c": c is YAML, as it would stand behind "b: " in a file.
  void apply_override(const std::string& text, int index) {
    const Source source{kCommandLine, "--set " + shown(text)};
    Origin origin = source.at(0);
    origin.line = index;
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problem(origin, "", "found no KEY=VALUE; accepted: for instance --set model.layers=8");
      return;
    }
    const std::string name = text.substr(0, equals);
    if (name == "extends" || is_section(name)) {
      problem(origin, name,
              name == "extends"
                  ? "found on the command line; accepted: in a file only"
                  : "found a section; accepted: one of its keys, such as " + name + "." + std::string(first_key(name)));
      return;
    }
    const std::size_t dot = name.find('.');
    const std::string section = dot == std::string::npos ? "" : name.substr(0, dot);
    if (dot != std::string::npos && !is_section(section)) {
      unknown_section(name, section, origin);
      return;
    }
    try {
      apply_value(section, dot == std::string::npos ? name : name.substr(dot + 1),
                  parse_document(std::string_view(text).substr(equals + 1)), origin, origin);
    } catch (const SyntaxError& error) {
      problem(origin, printable(name), in_words(error, "a value, or a list such as [1, 2]"));
    }
  }

  void unknown_section(const std::string& name, const std::string& section, const Origin& origin) {
    std::string text = "found an unknown section";
    std::vector<std::string_view> names;
    for (const Section& s : sections()) names.push_back(s.name);
    if (const std::string_view near = nearest(section, names); !near.empty()) {
      text += " (did you mean " + std::string(near) + name.substr(section.size()) + "?)";
    }
    text += "; accepted: " + section_names();
    problem(origin, printable(name), text);
  }

  static std::string shown(const std::string& override_text) {
    const std::string quoted = quoted_for_message(override_text);
    return override_text.find(' ') == std::string::npos ? quoted.substr(1, quoted.size() - 2) : quoted;
  }

  static bool is_section(std::string_view name) {
    const auto all = sections();
    return std::any_of(all.begin(), all.end(), [&](const Section& s) { return s.name == name; });
  }
  static std::string section_names() {
    std::string names;
    for (const Section& s : sections()) names += (names.empty() ? "" : ", ") + std::string(s.name);
    return names;
  }
  std::string keys_of(std::string_view section) const {
    std::string keys;
    for (const Field& f : fields_) {
      if (f.section == section) keys += (keys.empty() ? "" : ", ") + std::string(f.key);
    }
    return keys;
  }
  std::string_view first_key(std::string_view section) const {
    return std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.section == section; })->key;
  }

  /// What a config that lies in the folder of its run does not say itself.
  void take_for_run(const std::string& run_folder) {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      const Field& field = fields_[i];
      if (!given_[i] && !field.since.empty()) set_as_before(field);
      if (field.section != "log" || field.key != "directory") continue;
      if (given_[i] && given_[i]->origin.order == kCommandLine) continue;
      config_.log.directory = run_folder;
      if (!given_[i]) given_[i] = Given{{}, ++assignments_};
    }
  }

  void check_required(const Source& main) {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (!fields_[i].required || given_[i]) continue;
      const std::string name = fields_[i].name();
      problem(main.at(0), name,
              "found nothing; accepted: " + accepted_values(fields_[i].value) + ", in the file or by --set " + name +
                  "=PATH. " + std::string(fields_[i].doc));
    }
  }

  /// A conflict is reported where the last of its keys was given: that line most likely brought it about.
  void check_conflicts(const Source& main) {
    for (const Conflict& conflict : find_conflicts(config_)) {
      std::string key(conflict.keys.front());
      std::optional<Given> last;
      for (const std::string_view name : conflict.keys) {
        for (std::size_t i = 0; i < fields_.size(); ++i) {
          if (fields_[i].name() != name || !given_[i] || (last && last->number > given_[i]->number)) continue;
          last = given_[i];
          key = name;
        }
      }
      problem(last ? last->origin : main.at(0), key, conflict.text);
    }
  }

  std::string report() {
    std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
      return a.order != b.order ? a.order < b.order : a.line < b.line;
    });
    std::string text;
    for (std::size_t i = 0; i < std::min(problems_.size(), kMostProblemsShown); ++i) {
      text += (i == 0 ? "" : "\n") + problems_[i].text;
    }
    const std::size_t shown_count = std::min(problems_.size(), kMostProblemsShown);
    if (problem_count_ > shown_count) text += "\nand " + std::to_string(problem_count_ - shown_count) + " more";
    return text;
  }

  struct Given {
    Origin origin;
    int number = 0;  ///< counts assignments: of two, the later one has the say
  };

  const ReadConfigFile& read_;
  Config config_;
  std::vector<Field> fields_;                ///< refer into config_
  std::vector<std::optional<Given>> given_;  ///< beside fields_
  std::vector<Problem> problems_;            ///< those that may be shown
  std::map<int, std::size_t> problems_per_source_;
  std::size_t problem_count_ = 0;
  std::vector<Link> chain_;
  int last_order_ = 0;
  bool incomplete_ = false;  ///< some file could not be read: keys that are missing may stand there
  int assignments_ = 0;
};

}  // namespace

Config load_with(const ConfigFile& file, const std::string& name, const std::vector<std::string>& overrides,
                 const ReadConfigFile& read, const std::string& run_folder) {
  return Loader(read).load(file, name, overrides, run_folder);
}

}  // namespace blocktrain::trainer
