#include "trainer/data/data_facts.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

InputError refusal(const std::string& file, const std::string& why) {
  return InputError(file + ": " + why + "; it is written when a run starts and says what the run was trained on");
}

}  // namespace

std::string to_json(const DataFacts& f) {
  const std::vector<std::int64_t>& shape = f.layout.field("image").shape;
  nlohmann::ordered_json j;
  j["format"] = "blocktrain-data";
  j["version"] = 1;
  j["path"] = f.path;
  j["digest"] = f.digest;
  j["channels"] = shape.at(0);
  j["height"] = shape.at(1);
  j["width"] = shape.at(2);
  j["classes"] = f.layout.classes;
  j["training_images"] = f.training_samples;
  j["heldout_images"] = f.heldout_samples;
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
  std::int64_t channels = 0, height = 0, width = 0, classes = 0;
  try {
    if (j.at("format") != "blocktrain-data" || j.at("version") != 1) throw fail("is of another format or version");
    f.path = j.at("path").get<std::string>();
    f.digest = j.at("digest").get<std::string>();
    channels = j.at("channels").get<std::int64_t>();
    height = j.at("height").get<std::int64_t>();
    width = j.at("width").get<std::int64_t>();
    classes = j.at("classes").get<std::int64_t>();
    f.training_samples = j.at("training_images").get<std::int64_t>();
    f.heldout_samples = j.at("heldout_images").get<std::int64_t>();
    f.deviation = j.at("deviation").get<double>();
  } catch (const nlohmann::json::exception& e) {
    throw fail(std::string("is damaged (") + e.what() + ")");
  }
  // Far above any sample that is trained on, and far below what would overflow or exhaust memory.
  constexpr std::int64_t most = 1 << 16, most_numbers = 1 << 24;
  for (const std::int64_t n : {channels, height, width, classes}) {
    if (n < 1 || n > most) throw fail("has a size of " + std::to_string(n) + " (accepted: 1 to 65536)");
  }
  if (channels * height > most_numbers / width) throw fail("has samples of more than 2^24 numbers");
  using kernels::DType;
  f.layout = {{{"image", DType::float32, {channels, height, width}}, {"label", DType::int32, {}}}, 1, classes};
  return f;
}

}  // namespace blocktrain::trainer
