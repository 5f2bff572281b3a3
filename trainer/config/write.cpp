// to_yaml and docs/config.md, both from describe().
#include <sstream>

#include "trainer/config/describe.hpp"
#include "trainer/config/values.hpp"

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
std::string meaning(const Field& field) {
  std::string text(field.doc);
  if (!field.since.empty()) {
    text += " Since " + std::string(field.since) + "; earlier runs count as " + std::string(field.as_before) + ".";
  }
  return text;
}

void write_field(std::ostream& out, const std::string& indent, const Field& field, YamlComments comments) {
  if (comments == YamlComments::every_key) {
    write_comment(out, indent, meaning(field) + " Accepted: " + accepted_values(field.value) + ".");
  }
  out << indent << field.key << ": " << to_yaml_value(field.value) << '\n';
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
- Two runs whose configs differ only in `log`, `budget`, `eval`, `checkpoint`, `parallel` and `energy` train the same
  weights, as long as `optimizer.decay_steps` does not follow `budget.steps`.
- The `config.yaml` of a RUN folder means that folder, whatever its `log.directory` says.
)";

}  // namespace

std::string to_yaml(const Config& config, YamlComments comments) {
  Config copy = config;
  const std::vector<Field> fields = describe(copy);
  std::ostringstream out;
  for (const Field& field : fields) {
    if (field.section.empty()) write_field(out, "", field, comments);
  }
  for (const Section& section : sections()) {
    out << '\n';
    if (comments == YamlComments::every_key) write_comment(out, "", section.doc);
    out << section.name << ":\n";
    for (const Field& field : fields) {
      if (field.section == section.name) write_field(out, "  ", field, comments);
    }
  }
  return out.str();
}

std::string config_reference_markdown() {
  Config defaults;
  const std::vector<Field> fields = describe(defaults);
  std::ostringstream out;
  out << kReferenceHead;
  const auto table = [&](std::string_view section) {
    out << "\n| key | default | accepted | meaning |\n| --- | --- | --- | --- |\n";
    for (const Field& field : fields) {
      if (field.section != section) continue;
      const std::string value = field.required ? std::string("required") : to_yaml_value(field.value);
      const std::string_view tick = field.required ? "" : "`";
      out << "| `" << field.name() << "` | " << tick << value << tick << " | " << accepted_values(field.value) << " | "
          << meaning(field) << " |\n";
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
