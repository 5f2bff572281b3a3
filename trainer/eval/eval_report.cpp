#include "trainer/eval/eval_report.hpp"

#include <nlohmann/json.hpp>

namespace blocktrain::trainer {

using Json = nlohmann::ordered_json;

const FileKind& eval_file_kind() {
  static constexpr FileKind kind{"a result of blocktrain eval", [](const std::string& path) {
                                   constexpr std::size_t longest = std::size_t{1} << 26;
                                   const Json j = Json::parse(beginning_of(path, longest), nullptr, false);
                                   return j.is_object() && j.value("format", Json()) == "blocktrain-eval";
                                 }};
  return kind;
}

}  // namespace blocktrain::trainer
