// blocktrain data: what is in a data set, before anything is trained on it.

#include <fmt/format.h>

#include <string>
#include <vector>

#include "blocks/options.hpp"
#include "kernels/error.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/config/option.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"
#include "trainer/tasks/task_entries.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
namespace {

const Task& chosen_task(const std::string& name) {
  if (const Task* const task = task_named(name)) return *task;
  std::vector<std::string_view> names;
  for (const Task* task : tasks()) names.push_back(task->name());
  refuse_name("--task", name, names);
}

/// The first task that reads what lies there.
const Task& task_for(const std::string& path) {
  for (const Task* task : tasks()) {
    if (task->recognizes(path)) return *task;
  }
  throw InputError("data: found no data at '" + path +
                   "'; accepted: a text file, a folder of text files, files of token ids, or a folder with images (see "
                   "docs/data.md)");
}

/// The keys of the task that say how its data are read, as the arguments have them.
blocks::Options options_for(const Task& task, const DataArguments& arguments) {
  blocks::Options options = find_task(task.name())->options();
  std::vector<blocks::Setting> all;
  options.describe(all);
  std::erase_if(all, [](const blocks::Setting& s) { return s.section != "data"; });
  read_overrides("--set", arguments.overrides, all);
  if (!arguments.tokenizer.empty()) {
    const blocks::Setting* tokenizer = blocks::find_setting(all, "data.tokenizer");
    if (tokenizer == nullptr) {
      throw InputError("--tokenizer: found one, but the task '" + std::string(task.name()) +
                       "' reads no text; accepted with --task tokens");
    }
    read_option("--tokenizer", arguments.tokenizer, tokenizer->value);
  }
  std::vector<blocks::Conflict> conflicts;
  options.check(all, conflicts);
  if (!conflicts.empty()) throw InputError(join(conflicts.front().keys) + ": " + conflicts.front().text);
  return options;
}

}  // namespace

int data_command(const DataArguments& arguments) {
  const Task& task = arguments.task.empty() ? task_for(arguments.path) : chosen_task(arguments.task);
  const DataReport report = task.inspect(arguments.path, options_for(task, arguments));
  for (const std::string& note : report.notes) complain("note: " + note);
  if (arguments.json) {
    fmt::print("{}\n", report.json);
  } else {
    fmt::print("{}: {}\n{}", arguments.path, task.name(), report.text);
  }
  return 0;
}

}  // namespace blocktrain::trainer
