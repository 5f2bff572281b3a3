// to_yaml and docs/config.md, both from describe().
#include <algorithm>
#include <sstream>

#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::size_t kColumns = 110;

/// `text` as comment lines, broken between words.
void write_comment(std::ostream& out, const std::string& indent, std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string line = indent + "#", word;
  while (words >> word) {
    if (line.size() + 1 + word.size() > kColumns) {
      out << line << '\n';
      line = indent + "#";
    }
    line += ' ' + word;
  }
  out << line << '\n';
}

/// What a key means, and since when.
std::string meaning(const Setting& setting) {
  std::string text(setting.meaning);
  if (setting.name() == "model.architecture") {
    for (const blocks::Architecture& a : blocks::architectures()) {
      text += " " + std::string(a.name) + ": " + std::string(a.meaning) + ".";
    }
  }
  if (!setting.since.empty()) {
    text += " Since " + std::string(setting.since) + "; earlier runs count as " + std::string(setting.as_before) + ".";
  }
  return text;
}

/// A key in all architectures that have it and accept the same: one that has another meaning elsewhere is another.
struct Key {
  std::string name;
  std::string_view section;
  bool general = false;  ///< of every architecture there will be
  std::vector<std::string_view> architectures;
  std::vector<std::string> defaults;  ///< beside architectures
  std::string accepted, meaning;

  bool defaults_differ() const {
    return std::any_of(defaults.begin(), defaults.end(), [&](const std::string& d) { return d != defaults.front(); });
  }
};

/// Every key of every architecture; what only some have stands behind the key that it comes after in the first of them.
std::vector<Key> keys_of_all() {
  std::vector<Key> all;
  for (const blocks::Architecture& a : blocks::architectures()) {
    Config config(a);
    std::vector<Setting> chosen;  // with the architecture
    config.architecture.describe(chosen);
    config.objective.describe(chosen);
    config.noise.describe(chosen);
    config.task.describe(chosen);
    std::size_t next = 0;
    for (const Setting& setting : describe(config)) {
      const std::string name = setting.name();
      const std::string accepted = accepted_values(setting.value), says = meaning(setting);
      auto key = std::find_if(all.begin(), all.end(), [&](const Key& k) {
        return k.name == name && k.accepted == accepted && k.meaning == says;
      });
      if (key == all.end()) {
        key = all.insert(all.begin() + static_cast<std::ptrdiff_t>(next), Key{});
        key->name = name;
        key->section = setting.section;
        key->general = blocks::find_setting(chosen, name) == nullptr;
        key->accepted = accepted;
        key->meaning = says;
      }
      key->architectures.push_back(a.name);
      key->defaults.push_back(setting.required ? "required" : to_yaml_value(setting.value));
      next = static_cast<std::size_t>(key - all.begin()) + 1;
    }
  }
  return all;
}

/// What `plan --show-config` says of a key.
std::string comment(const Setting& setting, const Key& key) {
  std::string text = meaning(setting) + " Accepted: " + accepted_values(setting.value) + ".";
  if (!key.general) text += " With architecture " + join(key.architectures) + ".";
  if (key.defaults_differ()) {
    text += " Default:";
    for (std::size_t i = 0; i < key.defaults.size(); ++i) {
      text += (i == 0 ? " " : ", ") + key.defaults[i] + " with " + std::string(key.architectures[i]);
    }
    text += ".";
  }
  return text;
}

constexpr const char* kReferenceHead = R"(# Every key of a config

An experiment is one YAML file. `blocktrain plan CONFIG --show-config` prints it with every default filled in.
This page is made from the program's own description of its keys: `blocktrain config-reference > docs/config.md`.

- A key stands under its section, indented: `model:` on one line, `  layers: 8` on the next. In text and on the
  command line the same key is written `model.layers`.
- `--set model.layers=8` overrides the file; it can be given several times, and of two for the same key the later one
  wins. The value is YAML: `--set 'eval.steps=[4, 18]'`.
- `extends: other.yaml` takes everything from another file first, then this file's keys; a list is replaced as a whole.
  The path is relative to the folder of the file it stands in. Chains may be 16 files long.
- Other paths (`log.directory`, `data.path`) are relative to the current directory. `~` and `$NAME` are not replaced
  in files; on the command line the shell does it: `--set log.directory="$SCRATCH/run"`.
- Integers are written in digits (`1000`, not `1e3` or `1000.0`), numbers in any decimal form (`2e-3`), truth values
  as `true` and `false`. Unknown keys, keys given twice, numbers in quotes, anchors, aliases, tags and
  directives are errors.
- A file may have 1 MiB, 10,000 keys and values, and 64 levels.
- Another architecture may have other keys and other defaults of the same keys; where a file does not say a key's value,
  the default of the architecture that the whole config ends up with holds.
- Two runs whose configs differ only in `log`, `budget`, `eval`, `checkpoint`, `parallel` and `energy` train the same
  weights, as long as `optimizer.decay_steps` does not follow `budget.steps`.
- The `config.yaml` of a RUN folder means that folder, whatever its `log.directory` says.
)";

}  // namespace

std::string to_yaml(const Config& config, YamlComments comments) {
  Config copy = config;
  const std::vector<Setting> settings = describe(copy);
  const std::vector<Key> keys = comments == YamlComments::every_key ? keys_of_all() : std::vector<Key>{};
  std::ostringstream out;
  const auto write_keys = [&](std::string_view section, const std::string& indent) {
    for (const Setting& setting : settings) {
      if (setting.section != section) continue;
      if (comments == YamlComments::every_key) {
        const std::string name = setting.name();
        const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& k) {
          return k.name == name && std::ranges::count(k.architectures, config.model.architecture) > 0;
        });
        write_comment(out, indent, comment(setting, *key));
      }
      out << indent << setting.key << ": " << to_yaml_value(setting.value) << '\n';
    }
  };
  write_keys("", "");
  for (const Section& section : sections()) {
    const auto has_keys = [&](const Setting& setting) { return setting.section == section.name; };
    if (std::none_of(settings.begin(), settings.end(), has_keys)) continue;
    out << '\n';
    if (comments == YamlComments::every_key) write_comment(out, "", section.doc);
    out << section.name << ":\n";
    write_keys(section.name, "  ");
  }
  return out.str();
}

std::string config_reference_markdown() {
  const std::vector<Key> keys = keys_of_all();
  std::ostringstream out;
  out << kReferenceHead;
  out << "\n## Architectures\n\n`model.architecture` decides which keys there are. Those of the others are errors.\n"
         "\n| architecture | what it is | objective | task |\n| --- | --- | --- | --- |\n";
  for (const blocks::Architecture& a : blocks::architectures()) {
    const blocks::ObjectiveEntry& objective = objective_entry_of(a);
    const TaskEntry& task = task_entry_of(a);
    out << "| `" << a.name << "` | " << a.meaning << " | `" << objective.name << "`: " << objective.meaning << " | `"
        << task.name << "`: " << task.meaning << " |\n";
  }
  const auto cell = [](const std::string& value) { return value == "required" ? value : "`" + value + "`"; };
  const auto table = [&](std::string_view section) {
    out << "\n| key | architectures | default | accepted | meaning |\n| --- | --- | --- | --- | --- |\n";
    for (const Key& key : keys) {
      if (key.section != section) continue;
      out << "| `" << key.name << "` | " << (key.general ? "all" : join(key.architectures)) << " | ";
      for (std::size_t i = 0; i < (key.defaults_differ() ? key.defaults.size() : 1); ++i) {
        if (i > 0) out << ", ";
        out << cell(key.defaults[i]);
        if (key.defaults_differ()) out << " with " << key.architectures[i];
      }
      out << " | " << key.accepted << " | " << key.meaning << " |\n";
    }
  };
  out << "\n## Outside the sections\n";
  table("");
  for (const Section& section : sections()) {
    out << "\n## " << section.name << "\n\n" << section.doc << '\n';
    table(section.name);
  }
  return out.str();
}

}  // namespace blocktrain::trainer
