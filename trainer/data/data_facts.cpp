#include "trainer/data/data_facts.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

InputError refusal(const std::string& file, const std::string& why) {
  return InputError(file + ": " + why + "; it is written when a run starts and says what the run was trained on");
}

}  // namespace

std::string to_json(const DataFacts& f) {
  nlohmann::ordered_json j;
  j["format"] = "blocktrain-data";
  j["version"] = 1;
  j["path"] = f.path;
  j["digest"] = f.digest;
  const std::vector<std::int64_t>& sides = f.layout.fields.front().shape;
  j["channels"] = sides.at(0);
  j["height"] = sides.at(1);
  j["width"] = sides.at(2);
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
  try {
    if (j.at("format") != "blocktrain-data" || j.at("version") != 1) throw fail("is of another format or version");
    f.path = j.at("path").get<std::string>();
    f.digest = j.at("digest").get<std::string>();
    const auto number = [&j](const char* key) { return j.at(key).get<std::int64_t>(); };
    f.layout = {{{"image", kernels::DType::float32, {number("channels"), number("height"), number("width")}},
                 {"label", kernels::DType::int32, {}}},
                1,
                number("classes")};
    f.training_samples = j.at("training_images").get<std::int64_t>();
    f.heldout_samples = j.at("heldout_images").get<std::int64_t>();
    f.deviation = j.at("deviation").get<double>();
  } catch (const nlohmann::json::exception& e) {
    throw fail(std::string("is damaged (") + e.what() + ")");
  }
  // Far above any sample that is trained on, and far below what would overflow or exhaust memory.
  constexpr std::int64_t most = 1 << 16, most_numbers = 1 << 24;
  const std::vector<std::int64_t>& sides = f.layout.fields.front().shape;
  for (const std::int64_t n : {sides[0], sides[1], sides[2], f.layout.classes}) {
    if (n < 1 || n > most) throw fail("has a size of " + std::to_string(n) + " (accepted: 1 to 65536)");
  }
  if (sides[0] * sides[1] > most_numbers / sides[2]) throw fail("has samples of more than 2^24 numbers");
  return f;
}

}  // namespace blocktrain::trainer
