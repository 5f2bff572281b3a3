#include "trainer/data/data_facts.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/error.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"

namespace blocktrain::trainer {
namespace {

InputError refusal(const std::string& file, const std::string& why) {
  return InputError(file + ": " + why + "; it is written when a run starts and says what the run was trained on");
}

}  // namespace

DataFacts data_facts(const Config& config, const ImageDataset& data) {
  DataFacts f;
  f.path = config.data.path;
  f.digest = dataset_digest(data);
  f.shape = data.shape();
  f.classes = data.classes();
  f.training_images = data.count(Split::train);
  f.heldout_images = data.count(Split::heldout);
  f.deviation = data_deviation(data);
  data.require_unchanged();
  return f;
}

std::string to_json(const DataFacts& f) {
  nlohmann::ordered_json j;
  j["format"] = "blocktrain-data";
  j["version"] = 1;
  j["path"] = f.path;
  j["digest"] = f.digest;
  j["channels"] = f.shape.channels;
  j["height"] = f.shape.height;
  j["width"] = f.shape.width;
  j["classes"] = f.classes;
  j["training_images"] = f.training_images;
  j["heldout_images"] = f.heldout_images;
  j["deviation"] = f.deviation;
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

DataFacts load_data_facts(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw refusal(path, "cannot be read");
  return parse_data_facts(text.str(), path);
}

DataFacts parse_data_facts(const std::string& text, const std::string& name) {
  const auto fail = [&name](const std::string& why) { return refusal(name, why); };
  const auto j = nlohmann::json::parse(text, nullptr, false);
  if (j.is_discarded() || !j.is_object()) throw fail("is not JSON");
  DataFacts f;
  try {
    if (j.at("format") != "blocktrain-data" || j.at("version") != 1) throw fail("is of another format or version");
    f.path = j.at("path").get<std::string>();
    f.digest = j.at("digest").get<std::string>();
    f.shape.channels = j.at("channels").get<std::int64_t>();
    f.shape.height = j.at("height").get<std::int64_t>();
    f.shape.width = j.at("width").get<std::int64_t>();
    f.classes = j.at("classes").get<std::int64_t>();
    f.training_images = j.at("training_images").get<std::int64_t>();
    f.heldout_images = j.at("heldout_images").get<std::int64_t>();
    f.deviation = j.at("deviation").get<double>();
  } catch (const nlohmann::json::exception& e) {
    throw fail(std::string("is damaged (") + e.what() + ")");
  }
  // Far above any image that is trained on, and far below what would overflow or exhaust memory.
  constexpr std::int64_t most = 1 << 16, most_pixels = 1 << 24;
  for (const std::int64_t n : {f.shape.channels, f.shape.height, f.shape.width, f.classes}) {
    if (n < 1 || n > most) throw fail("has a size of " + std::to_string(n) + " (accepted: 1 to 65536)");
  }
  if (f.shape.channels * f.shape.height > most_pixels / f.shape.width)
    throw fail("has images of more than 2^24 numbers");
  return f;
}

void require_declared(const Config& config, const ImageShape& found, std::int64_t classes) {
  const std::vector<int>& declared = config.data.shape;
  if (!declared.empty() &&
      (declared[0] != found.channels || declared[1] != found.height || declared[2] != found.width)) {
    const auto list = [](std::int64_t channels, std::int64_t height, std::int64_t width) {
      return "[" + std::to_string(channels) + ", " + std::to_string(height) + ", " + std::to_string(width) + "]";
    };
    throw InputError("data.shape: found " + list(declared[0], declared[1], declared[2]) +
                     " (channels, height, width), but the images in '" + config.data.path + "' are " +
                     list(found.channels, found.height, found.width) +
                     "; accepted: their shape, or [] to go by the data");
  }
  if (config.data.classes != 0 && config.data.classes != classes) {
    throw InputError("data.classes: found " + std::to_string(config.data.classes) + ", but the data in '" +
                     config.data.path + "' have " + std::to_string(classes) +
                     "; accepted: their number, or 0 to go by the data");
  }
}

ImageDataset open_data(const Config& config) {
  ImageDataset data = ImageDataset::open(config.data.path, config.data.format);
  require_declared(config, data.shape(), data.classes());
  return data;
}

}  // namespace blocktrain::trainer
