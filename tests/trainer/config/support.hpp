#pragma once
/// Loading from text in tests: the required keys are given, so that a test shows only what it is about.

#include <string>
#include <vector>

#include "blocks/architectures/dit_options.hpp"
#include "kernels/error.hpp"
#include "trainer/config/config.hpp"
#include "trainer/config/describe.hpp"
#include "trainer/tasks/images/images_options.hpp"
#include "trainer/tasks/labels/labels_options.hpp"

namespace blocktrain::trainer::test {

using namespace blocks;  // the words of settings

/// The options of architecture dit and task images, which most tests are about.
inline const DitOptions& dit(const Config& config) { return config.architecture.as<DitOptions>(); }
inline const ImagesOptions& images(const Config& config) { return config.task.as<ImagesOptions>(); }
/// What every task of images says of its data.
inline const ImageDataOptions& image_data(const Config& config) {
  if (architecture_of(config).task == "labels") return config.task.as<LabelsOptions>();
  return images(config);
}

inline const std::string kRequired = "log: {directory: r}\ndata: {path: d}\n";  // two lines

inline Config load(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return load_config_text(kRequired + text, "t.yaml", overrides);
}

/// What load() says is wrong; empty when nothing is. Any other exception passes through and fails the test.
inline std::string problem(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    load(text, overrides);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

/// The same for text without the required keys.
inline std::string bare_problem(const std::string& text) {
  try {
    load_config_text(text, "t.yaml", {});
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace blocktrain::trainer::test
