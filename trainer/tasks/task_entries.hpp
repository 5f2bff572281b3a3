#pragma once
/// What a config has to know of the tasks: a list of one line each, as that of the architectures
/// (blocks/architectures/architectures.hpp), which name their task. What a task does stands elsewhere in its folder.

#include <span>
#include <string_view>

#include "blocks/options.hpp"

namespace blocktrain::trainer {

struct TaskEntry {
  std::string_view name;
  std::string_view meaning;      ///< for people, behind the name
  std::string_view samples;      ///< what its samples are called, as in the key eval.images
  blocks::Options (*options)();  ///< its own keys, at their defaults
  /// Where they are not what the key's owner says; an architecture's win.
  std::span<const blocks::SettingDefault> defaults{};
};

std::span<const TaskEntry> task_entries();

/// The one of that name; null where there is none.
inline const TaskEntry* find_task(std::string_view name) { return blocks::entry_named(task_entries(), name); }

}  // namespace blocktrain::trainer
