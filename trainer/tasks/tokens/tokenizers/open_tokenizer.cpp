#include <memory>
#include <string>

#include "kernels/error.hpp"
#include "trainer/tasks/tokens/tokenizer.hpp"
#include "trainer/tasks/tokens/tokenizers/byte_tokenizer.hpp"

namespace blocktrain::trainer {

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return std::make_unique<ByteTokenizer>();
  throw InputError("tokenizer '" + name_or_path + "': not known; accepted: bytes");
}

}  // namespace blocktrain::trainer
