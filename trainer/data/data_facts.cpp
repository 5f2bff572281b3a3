#include "trainer/data/data_facts.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::DType;
using nlohmann::json;
using nlohmann::ordered_json;

// Far above any sample that is trained on, and far below what would overflow or exhaust memory.
constexpr std::int64_t longest_side = 1 << 16, most_numbers = 1 << 24;

/// A layout keeps views of the names of its fields, which have to last: those there are.
constexpr std::array<std::string_view, 3> field_names{"image", "label", "tokens"};

InputError refusal(const std::string& file, const std::string& why) {
  return InputError(file + ": " + why + "; it is written when a run starts and says what the run was trained on");
}

bool suits_version_1(const blocks::SampleLayout& layout) {
  return layout.fields.size() == 2 && layout.fields[0].name == "image" && layout.fields[1].name == "label";
}

ordered_json head(const DataFacts& f, int version) {
  ordered_json j;
  j["format"] = "blocktrain-data";
  j["version"] = version;
  j["path"] = f.path;
  j["digest"] = f.digest;
  return j;
}

ordered_json version_1(const DataFacts& f) {
  const std::vector<std::int64_t>& shape = f.layout.field("image").shape;
  ordered_json j = head(f, 1);
  j["channels"] = shape.at(0);
  j["height"] = shape.at(1);
  j["width"] = shape.at(2);
  j["classes"] = f.layout.classes;
  j["training_images"] = f.training_samples;
  j["heldout_images"] = f.heldout_samples;
  j["deviation"] = f.deviation;
  return j;
}

ordered_json version_2(const DataFacts& f) {
  ordered_json j = head(f, 2);
  j["fields"] = ordered_json::array();
  for (const blocks::Field& field : f.layout.fields) {
    j["fields"].push_back({{"name", field.name}, {"type", name_of(field.dtype)}, {"shape", field.shape}});
  }
  j["targets"] = f.layout.targets;
  j["classes"] = f.layout.classes;
  j["symbols"] = f.symbols;
  j["training_samples"] = f.training_samples;
  j["heldout_samples"] = f.heldout_samples;
  j["training_targets"] = f.training_targets;
  j["heldout_targets"] = f.heldout_targets;
  j["deviation"] = f.deviation;
  return j;
}

/// Reads one file; `name` stands for it in messages.
class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  DataFacts read(const json& j) const {
    DataFacts f;
    const json& version = j.at("version");
    if (j.at("format") != "blocktrain-data" || (version != 1 && version != 2)) {
      throw refusal(name_, "is of another format or version");
    }
    f.path = j.at("path").get<std::string>();
    f.digest = j.at("digest").get<std::string>();
    f.deviation = j.at("deviation").get<double>();
    if (version == 1) {
      read_version_1(j, f);
    } else {
      read_version_2(j, f);
    }
    return f;
  }

 private:
  void read_version_1(const json& j, DataFacts& f) const {
    const auto side = [&](const char* key) { return number(j, key, longest_side); };
    const std::int64_t channels = side("channels"), height = side("height"), width = side("width");
    const std::int64_t classes = side("classes");
    if (channels * height > most_numbers / width) throw refusal(name_, "has samples of more than 2^24 numbers");
    f.training_samples = j.at("training_images").get<std::int64_t>();
    f.heldout_samples = j.at("heldout_images").get<std::int64_t>();
    f.layout = {{{"image", DType::float32, {channels, height, width}}, {"label", DType::int32, {}}}, 1, classes};
  }

  void read_version_2(const json& j, DataFacts& f) const {
    const json& fields = j.at("fields");
    if (!fields.is_array() || fields.empty() || fields.size() > blocks::most_fields) {
      throw refusal(name_, "has no list of 1 to " + std::to_string(blocks::most_fields) + " fields");
    }
    for (const json& field : fields) f.layout.fields.push_back(read_field(field));
    f.layout.targets = number(j, "targets", most_numbers);
    f.layout.classes = number(j, "classes", most_numbers);
    f.symbols = j.at("symbols").get<std::string>();
    f.training_samples = j.at("training_samples").get<std::int64_t>();
    f.heldout_samples = j.at("heldout_samples").get<std::int64_t>();
    f.training_targets = j.at("training_targets").get<std::int64_t>();
    f.heldout_targets = j.at("heldout_targets").get<std::int64_t>();
  }

  blocks::Field read_field(const json& j) const {
    const auto name = j.at("name").get<std::string>(), type = j.at("type").get<std::string>();
    const auto known = std::find(field_names.begin(), field_names.end(), name);
    const auto dtype = value_named<DType>(type);
    const json& shape = j.at("shape");
    if (known == field_names.end() || !dtype || !shape.is_array() || shape.size() > 3) {
      throw refusal(name_, "has a field that this version does not know");
    }
    blocks::Field field{*known, *dtype, {}};
    std::int64_t numbers = 1;
    for (const json& side : shape) {
      const std::int64_t n = bounded(side.get<std::int64_t>(), most_numbers);
      if (numbers > most_numbers / n) throw refusal(name_, "has samples of more than 2^24 numbers");
      numbers *= n;
      field.shape.push_back(n);
    }
    return field;
  }

  std::int64_t number(const json& j, const char* key, std::int64_t most) const {
    return bounded(j.at(key).get<std::int64_t>(), most);
  }

  std::int64_t bounded(std::int64_t n, std::int64_t most) const {
    if (n >= 1 && n <= most) return n;
    throw refusal(name_, "has a size of " + std::to_string(n) + " (accepted: 1 to " + std::to_string(most) + ")");
  }

  const std::string& name_;
};

}  // namespace

std::string to_json(const DataFacts& facts) {
  const ordered_json j = suits_version_1(facts.layout) ? version_1(facts) : version_2(facts);
  return j.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

DataFacts load_data_facts(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw refusal(path, "cannot be read");
  return parse_data_facts(text.str(), path);
}

DataFacts parse_data_facts(const std::string& text, const std::string& name) {
  const auto j = json::parse(text, nullptr, false);
  if (j.is_discarded() || !j.is_object()) throw refusal(name, "is not JSON");
  try {
    return Reader(name).read(j);
  } catch (const json::exception& e) {
    throw refusal(name, std::string("is damaged (") + e.what() + ")");
  }
}

}  // namespace blocktrain::trainer
