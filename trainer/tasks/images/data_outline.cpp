#include "trainer/tasks/images/data_outline.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernels/error.hpp"
#include "trainer/tasks/images/data_probe.hpp"
#include "trainer/tasks/images/dataset_files.hpp"
#include "trainer/tasks/images/image_samples.hpp"
#include "trainer/tasks/images/images_options.hpp"

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

DataOutline outline_images(const Config& config) {
  DataProbe probe;
  std::string absent;
  try {
    probe = probe_data(config.data.path, config.task.as<ImagesOptions>().format);
    require_declared(config, shape_of(probe), probe.shape.classes);
  } catch (const DataAbsent& e) {
    const std::string why = e.what();
    const auto& d = config.task.as<ImagesOptions>();
    if (d.shape.empty() || d.classes == 0) {
      throw InputError(why + ". With data.shape and data.classes in the config, plan does without the data; found " +
                       (!d.shape.empty() ? "data.shape alone"
                        : d.classes != 0 ? "data.classes alone"
                                         : "neither"));
    }
    absent = why.substr(0, why.find("; "));
    probe.shape = {d.shape[0], d.shape[1], d.shape[2], d.classes};
  }
  return {image_layout(shape_of(probe), probe.shape.classes), to_text(probe, absent), to_json(probe, absent),
          probe.notes};
}

}  // namespace blocktrain::trainer
