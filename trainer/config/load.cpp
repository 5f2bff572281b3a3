#include "trainer/config/load.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "kernels/error.hpp"
#include "trainer/config/check.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/config/document.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/problems.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/config/values.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::size_t kLongestChain = 16;
constexpr const char* kAcceptedText = "`key: value` lines under `section:` lines, indented by spaces (see configs/)";
/// One file or override that is being applied.
struct Source {
  int order = 0;
  std::string name;
  Origin at(int line) const {
    return {order, line, order == Problems::command_line || line == 0 ? name : name + ":" + std::to_string(line)};
  }
};

std::string in_words(const SyntaxError& error, const char* otherwise) {
  return std::string(error.what()) + "; accepted: " + (error.accepted.empty() ? otherwise : error.accepted);
}

class Loader {
 public:
  explicit Loader(const ReadConfigFile& read) : read_(read) {}
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Config load(const ConfigFile& file, const std::string& name, const std::vector<std::string>& overrides,
              const std::string& run_folder) {
    const Source main{0, name};
    read_file(file, main);
    // It decides which keys there are, so it is looked for before any is read.
    choose_architecture(overrides);
    for (const Document& document : documents_) apply_map(document.root, document.source);
    for (std::size_t i = 0; i < overrides.size(); ++i) apply_override(overrides[i], static_cast<int>(i));
    if (!run_folder.empty() && !incomplete_) take_for_run(run_folder);
    if (!incomplete_) check_required(main);
    if (problems_.empty()) check_conflicts(main);
    if (!problems_.empty()) throw InputError(problems_.report());
    return config_;
  }

 private:
  struct Link {
    std::string name, identity;
  };
  struct Document {
    Node root;  ///< a map
    Source source;
  };

  void problem(const Origin& origin, const std::string& key, const std::string& text) {
    problems_.add(origin, key, text);
  }

  /// Puts the file into documents_, behind those that it extends: of two values for a key the later one has the say.
  void read_file(const ConfigFile& file, const Source& source) {
    chain_.push_back({source.name, file.identity});
    try {
      Node root = parse_document(file.text);
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
          read_extended(root.items[static_cast<std::size_t>(key - root.keys.begin())], source);
        documents_.push_back({std::move(root), source});
      }
    } catch (const SyntaxError& error) {
      incomplete_ = true;
      problem(source.at(error.line), "", in_words(error, kAcceptedText));
    }
    chain_.pop_back();
  }

  void read_extended(const Node& node, const Source& source) {
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
    read_file(file, {++last_order_, path});
  }

  std::string chain_in_words(const std::string& last) const {
    std::string words;
    for (const Link& link : chain_) words += link.name + " -> ";
    return words + last;
  }

  /// The defaults of the architecture that the files and overrides end up with; of the first one where what they say is
  /// none, which is reported where it stands.
  void choose_architecture(const std::vector<std::string>& overrides) {
    std::string name = config_.model.architecture;
    for (const Document& document : documents_) {
      const Node* model = value_in(document.root, "model");
      const Node* given = model == nullptr ? nullptr : value_in(*model, "architecture");
      if (given != nullptr && given->kind == Node::Kind::scalar) name = given->text;
    }
    constexpr std::string_view kOverride = "model.architecture=";
    for (const std::string& text : overrides) {
      if (!text.starts_with(kOverride)) continue;
      try {
        const Node given = parse_document(std::string_view(text).substr(kOverride.size()));
        if (given.kind == Node::Kind::scalar) name = given.text;
      } catch (const SyntaxError&) {
        // Reported where overrides are applied.
      }
    }
    const blocks::Architecture* chosen = blocks::find_architecture(name);
    architecture_is_known_ = chosen != nullptr;
    if (architecture_is_known_) config_ = Config(*chosen);
    settings_ = describe(config_);
    given_.resize(settings_.size());
  }

  static const Node* value_in(const Node& map, std::string_view key) {
    if (map.kind != Node::Kind::map) return nullptr;
    const auto found = std::find_if(map.keys.begin(), map.keys.end(),
                                    [key](const Node& k) { return k.kind == Node::Kind::scalar && k.text == key; });
    return found == map.keys.end() ? nullptr : &map.items[static_cast<std::size_t>(found - map.keys.begin())];
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
    const auto setting = std::find_if(settings_.begin(), settings_.end(),
                                      [&](const Setting& s) { return s.section == section && s.key == key; });
    if (setting == settings_.end()) {
      unknown_key(section, key, key_at);
      return;
    }
    given_[static_cast<std::size_t>(setting - settings_.begin())] = Given{value_at, ++assignments_};
    if (const auto wrong = assign(*setting, value)) problem(value_at, setting->name(), *wrong);
  }

  void unknown_key(const std::string& section, const std::string& key, const Origin& origin) {
    std::string text = "found an unknown key";
    if (!problems_.shown_in_full(origin)) return problem(origin, key, text);  // suggestions take time
    if (const auto owners = architectures_with(section, key); !owners.empty()) {
      // Which keys there are depends on what the architecture was meant to be.
      if (architecture_is_known_) key_of_others(section, key, owners, origin);
      return;
    }
    if (const std::string near = suggest_key(section, key, settings_); !near.empty()) text += " (" + near + ")";
    text += "; accepted: ";
    text += section.empty() ? "seed, extends and the sections " + section_names() : keys_of(section);
    problem(origin, (section.empty() ? "" : section + ".") + printable(key), text);
  }

  void key_of_others(const std::string& section, const std::string& key, const std::vector<std::string_view>& owners,
                     const Origin& origin) {
    const std::string& mine = config_.model.architecture;
    const std::string keys = keys_of(section);
    problem(origin, section + "." + key,
            "found a key that architecture '" + mine + "' does not have (with it: " + join(owners) +
                "); accepted with '" + mine + "': " + (keys.empty() ? "no key of section " + section : keys));
  }

  /// "a.b=c": c is YAML, as it would stand behind "b: " in a file.
  void apply_override(const std::string& text, int index) {
    const Source source{Problems::command_line, "--set " + shown(text)};
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
              name == "extends" ? "found on the command line; accepted: in a file only"
                                : "found a section; accepted: one of its keys" + first_key(name));
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
    std::vector<std::string_view> names;
    for (const Section& section : sections()) names.push_back(section.name);
    return join(names);
  }
  std::string keys_of(std::string_view section) const {
    std::vector<std::string_view> keys;
    for (const Setting& s : settings_) {
      if (s.section == section) keys.push_back(s.key);
    }
    return join(keys);
  }
  /// ", such as a.b"; nothing for a section in which the architecture has no keys.
  std::string first_key(std::string_view section) const {
    const auto first =
        std::find_if(settings_.begin(), settings_.end(), [&](const Setting& s) { return s.section == section; });
    return first == settings_.end() ? "" : ", such as " + first->name();
  }

  /// What a config that lies in the folder of its run does not say itself.
  void take_for_run(const std::string& run_folder) {
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const Setting& setting = settings_[i];
      if (!given_[i] && !setting.since.empty()) set_as_before(setting);
      if (setting.section != "log" || setting.key != "directory") continue;
      if (given_[i] && given_[i]->origin.order == Problems::command_line) continue;
      config_.log.directory = run_folder;
      if (!given_[i]) given_[i] = Given{{}, ++assignments_};
    }
  }

  void check_required(const Source& main) {
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      if (!settings_[i].required || given_[i]) continue;
      const std::string name = settings_[i].name();
      problem(main.at(0), name,
              "found nothing; accepted: " + accepted_values(settings_[i].value) + ", in the file or by --set " + name +
                  "=PATH. " + std::string(settings_[i].meaning));
    }
  }

  /// A conflict is reported where the last of its keys was given: that line most likely brought it about.
  void check_conflicts(const Source& main) {
    for (const blocks::Conflict& conflict : find_conflicts(config_)) {
      std::string key(conflict.keys.front());
      std::optional<Given> last;
      for (const std::string_view name : conflict.keys) {
        for (std::size_t i = 0; i < settings_.size(); ++i) {
          if (settings_[i].name() != name || !given_[i] || (last && last->number > given_[i]->number)) continue;
          last = given_[i];
          key = name;
        }
      }
      problem(last ? last->origin : main.at(0), key, conflict.text);
    }
  }

  struct Given {
    Origin origin;
    int number = 0;  ///< counts assignments: of two, the later one has the say
  };

  const ReadConfigFile& read_;
  Config config_;
  std::vector<Setting> settings_;            ///< refer into config_
  std::vector<std::optional<Given>> given_;  ///< beside settings_
  Problems problems_;
  std::vector<Document> documents_;  ///< in the order in which they are applied
  std::vector<Link> chain_;
  int last_order_ = 0;
  bool architecture_is_known_ = true;
  bool incomplete_ = false;  ///< some file could not be read: keys that are missing may stand there
  int assignments_ = 0;
};

}  // namespace

Config load_with(const ConfigFile& file, const std::string& name, const std::vector<std::string>& overrides,
                 const ReadConfigFile& read, const std::string& run_folder) {
  return Loader(read).load(file, name, overrides, run_folder);
}

}  // namespace blocktrain::trainer
