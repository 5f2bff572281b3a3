#include "kernels/error.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_check.hpp"
#include "trainer/tasks/tokens/tokenizers/sentencepiece_tokenizer.hpp"

namespace blocktrain::trainer {

bool sentencepiece_is_there() { return false; }

std::unique_ptr<Tokenizer> read_sentencepiece(std::span<const std::byte> model, const std::string& path) {
  if (const auto fault = sentencepiece_fault(model)) throw InputError("tokenizer " + path + ": " + *fault);
  throw InputError("tokenizer " + path +
                   ": is a SentencePiece model, and this program was built without that library; install it "
                   "(Debian: libsentencepiece-dev) and build again, or take a tokenizer.json, a GGUF or bytes");
}

}  // namespace blocktrain::trainer
