// The config loader on arbitrary text. The input is split at lines that hold only "%%": the first part is the config,
// parts that begin with "set " are overrides, and the others are the files 1.yaml, 2.yaml, ... that `extends:` can
// name, so that no real file is read. Only InputError may come out, and what loads has to survive to_yaml.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/config/load.hpp"

using namespace blocktrain::trainer;

namespace {

std::vector<std::string> split(std::string_view text) {
  constexpr std::string_view kSeparator = "\n%%\n";
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(kSeparator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + kSeparator.size());
  }
}

void require(bool condition, const char* what, const std::string& detail) {
  if (condition) return;
  std::cerr << what << '\n' << detail << '\n';
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string> parts = split({reinterpret_cast<const char*>(data), size});
  std::vector<std::string> files, overrides;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].starts_with("set ")) {
      overrides.push_back(parts[i].substr(4));
    } else {
      files.push_back(parts[i]);
    }
  }
  const ReadConfigFile read = [&](const std::string& path) -> ConfigFile {
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (path == std::to_string(i + 1) + ".yaml") return {files[i], path};
    }
    throw blocktrain::InputError("found no such file; accepted: 1.yaml and so on");
  };
  Config config;
  try {
    config = load_with({parts[0], "main"}, "fuzz.yaml", overrides, read);
  } catch (const blocktrain::InputError& error) {
    const std::string said = error.what();
    require(!said.empty() && said.size() < 100000, "an error without or with endless words", said.substr(0, 1000));
    return 0;
  }
  for (const YamlComments comments : {YamlComments::none, YamlComments::every_key}) {
    const std::string yaml = to_yaml(config, comments);
    try {
      require(load_with({yaml, "again"}, "again.yaml", {}, read) == config, "another config after to_yaml", yaml);
    } catch (const blocktrain::InputError& error) {
      require(false, error.what(), yaml);
    }
  }
  require(experiment_identity(config).size() == 64, "no identity", to_yaml(config));
  return 0;
}
