#pragma once
/// Loading with the way to read files handed in, so that tests and the fuzzer need no file system.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

struct ConfigFile {
  std::string text;
  std::string identity;  ///< the same for every path to the same file: finds loops of `extends:`
};

/// Reads the config file at a path. Throws InputError "found X; accepted: Y" without the path.
using ReadConfigFile = std::function<ConfigFile(const std::string& path)>;

/// The real one: regular files of at most kMostConfigBytes.
ConfigFile read_config_file(const std::string& path);

/// Loads `file`, whose path is `name`, as load_config does; with a `run_folder`, as load_run_folder_config does.
Config load_with(const ConfigFile& file, const std::string& name, const std::vector<std::string>& overrides,
                 const ReadConfigFile& read, const std::string& run_folder = "");

}  // namespace blocktrain::trainer
