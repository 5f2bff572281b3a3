#include "trainer/tasks/images/data_outline.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernels/error.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_files.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {
namespace {

using nlohmann::ordered_json;

ImageShape shape_of(const DataProbe& p) { return {p.shape.channels, p.shape.height, p.shape.width}; }

/// `absent`: why the config's word is taken for the data; empty where they are there.
std::string to_json(const DataProbe& p, const std::string& absent) {
  const bool there = absent.empty();
  ordered_json j;
  j["shape"] = {p.shape.channels, p.shape.height, p.shape.width};
  j["classes"] = p.shape.classes;
  j["training_images"] = there ? ordered_json(p.training_images) : ordered_json();
  j["heldout_images"] = there ? ordered_json(p.heldout_images) : ordered_json();
  j["absent"] = there ? ordered_json() : ordered_json(absent);
  j["notes"] = p.notes;
  return j.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string to_text(const DataProbe& p, const std::string& absent) {
  const std::string what =
      fmt::format("{}x{}x{}, {} classes", p.shape.channels, p.shape.height, p.shape.width, p.shape.classes);
  if (!absent.empty()) return fmt::format("on images of {}, as data.shape and data.classes say:\n{}", what, absent);
  return fmt::format(
      "on {} images of {} ({} held out{}){}", p.training_images, what, p.heldout_images,
      p.heldout_is_cut ? ": the last 5% of the training images" : "",
      p.contents_unread ? "\nBy the sizes of the data's files; what is in them is checked by train." : "");
}

}  // namespace

DataOutline outline_images(const std::string& path, const ImageDataOptions& options) {
  DataProbe probe;
  std::string absent;
  try {
    probe = probe_data(path, options.format);
    require_declared(path, options, shape_of(probe), probe.shape.classes);
  } catch (const DataAbsent& e) {
    const std::string why = e.what();
    const std::vector<int>& shape = options.shape;
    if (shape.empty() || options.classes == 0) {
      throw InputError(why + ". With data.shape and data.classes in the config, plan does without the data; found " +
                       (!shape.empty()         ? "data.shape alone"
                        : options.classes != 0 ? "data.classes alone"
                                               : "neither"));
    }
    absent = why.substr(0, why.find("; "));
    probe.shape = {shape[0], shape[1], shape[2], options.classes};
  }
  return {image_layout(shape_of(probe), probe.shape.classes), to_text(probe, absent), to_json(probe, absent),
          probe.notes};
}

std::string describe_images(const DataFacts& facts) {
  return fmt::format("{} images of {}, {} classes, {} held out", facts.training_samples,
                     to_string(image_shape_of(facts.layout)), facts.layout.classes, facts.heldout_samples);
}

}  // namespace blocktrain::trainer
