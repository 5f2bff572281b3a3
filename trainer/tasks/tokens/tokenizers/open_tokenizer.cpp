#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "kernels/error.hpp"
#include "trainer/data/mapped_bytes.hpp"
#include "trainer/formats/gguf.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/byte_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/gguf_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/read_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/tokenizer_json.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

/// The file behind `path`, which may be a link, as in the caches that programs keep of what they fetched.
fs::path file_of(const std::string& path) {
  std::error_code error;
  const fs::path file = fs::canonical(path, error);
  if (error) {
    throw InputError("tokenizer '" + path + "': " + error.message() +
                     "; accepted: bytes, or the path of a tokenizer.json, a GGUF or a SentencePiece model");
  }
  if (fs::is_directory(file, error)) {
    throw InputError("tokenizer " + path + ": is a folder; name the file in it, " +
                     (fs::path(path) / "tokenizer.json").string() + " or another");
  }
  return file;
}

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer(std::span<const std::byte> file, const std::string& path) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("GGUF")) return read_gguf_tokenizer(GgufFile(file, "tokenizer " + path), path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') return read_tokenizer_json(text, path);
  return read_sentencepiece(file, path);
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return std::make_unique<ByteTokenizer>();
  const MappedBytes file = MappedBytes::of_file(file_of(name_or_path));
  auto tokenizer = read_tokenizer(std::as_bytes(file.bytes()), name_or_path);
  file.check_unchanged();
  return tokenizer;
}

}  // namespace blocktrain::trainer
