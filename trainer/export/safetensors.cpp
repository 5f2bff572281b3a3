#include "trainer/export/safetensors.hpp"

#include <array>
#include <bit>
#include <nlohmann/json.hpp>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

void write_safetensors(WholeFile& file, const std::vector<NamedTensor>& tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::ordered_json header;
  for (const auto& [key, text] : metadata) header["__metadata__"][key] = text;
  std::size_t offset = 0;
  for (const NamedTensor& t : tensors) {
    BLOCKTRAIN_EXPECTS(!header.contains(t.name));
    header[t.name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {offset, offset + t.data.size()}}};
    offset += t.data.size();
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::array<std::uint64_t, 1> length{text.size()};
  file.write(std::as_bytes(std::span(length)));
  file.write(text);
  for (const NamedTensor& t : tensors) file.write(t.data);
}

}  // namespace blocktrain::trainer
