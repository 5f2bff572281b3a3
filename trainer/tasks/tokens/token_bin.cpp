#include "trainer/tasks/tokens/token_bin.hpp"

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

/// Number `place` of the header. Precondition: it is there.
std::int32_t header_number(std::span<const std::uint8_t> file, std::size_t place) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | file[4 * place + i];
  return static_cast<std::int32_t>(value);
}

bool has_llmc_magic(std::span<const std::uint8_t> file) {
  return file.size() >= 4 && header_number(file, 0) == llmc_magic;
}

}  // namespace

TokenFormat bin_format_of(std::span<const std::uint8_t> file) {
  return has_llmc_magic(file) ? TokenFormat::llmc : TokenFormat::nanogpt;
}

BinLayout read_bin_layout(TokenFormat format, std::span<const std::uint8_t> file, const std::string& name) {
  const auto refuse = [&name](const std::string& what) { return InputError("data file " + name + ": " + what); };
  const auto number = [](std::uint64_t n) { return std::to_string(n); };
  if (format == TokenFormat::nanogpt) {
    if (has_llmc_magic(file)) {
      throw refuse(
          "begins with the header of llm.c; accepted with data.format nanogpt: ids alone. Use data.format llmc");
    }
    if (file.size() % 2 != 0) {
      throw refuse("has " + number(file.size()) +
                   " bytes; accepted with data.format nanogpt: ids of two bytes each, an "
                   "even number (truncated, or another format)");
    }
    return {0, static_cast<std::int64_t>(file.size() / 2)};
  }
  BLOCKTRAIN_EXPECTS(format == TokenFormat::llmc);
  if (file.size() < llmc_header_bytes) {
    throw refuse("has " + number(file.size()) + " bytes; accepted with data.format llmc: a header of " +
                 number(llmc_header_bytes) + " bytes with ids behind it");
  }
  if (!has_llmc_magic(file)) {
    throw refuse("begins with the number " + std::to_string(header_number(file, 0)) +
                 "; accepted with data.format llmc: " + std::to_string(llmc_magic) + ", for ids of 16 bits");
  }
  if (const std::int32_t version = header_number(file, 1); version != 1) {
    throw refuse("is of version " + std::to_string(version) + " of llm.c's format; accepted: 1");
  }
  const std::int32_t announced = header_number(file, 2);
  const std::uint64_t behind = file.size() - llmc_header_bytes;
  if (announced < 1 || std::uint64_t{2} * static_cast<std::uint32_t>(announced) != behind) {
    throw refuse("announces " + std::to_string(announced) + " tokens and has " + number(behind) +
                 " bytes behind its header; accepted: two bytes for each token (truncated, or damaged)");
  }
  return {llmc_header_bytes, announced};
}

}  // namespace blocktrain::trainer
