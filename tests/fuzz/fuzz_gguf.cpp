// Arbitrary bytes as a GGUF: refused with InputError, or every entry and every tensor can be read.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "kernels/error.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/formats/gguf.hpp"
#include "trainer/formats/gguf_types.hpp"

namespace bt = blocktrain::trainer;

namespace {

volatile std::uint64_t seen = 0;

void read_bytes(std::span<const std::byte> bytes) {
  for (const std::byte b : bytes) seen = seen + std::to_integer<std::uint64_t>(b);
}

template <class Ask>
void ask(Ask&& question) {
  try {
    question();
  } catch (const blocktrain::InputError&) {
  }
}

void use(const bt::GgufFile& file) {
  for (const auto& entry : file.metadata()) {
    const std::string_view key = entry.first;
    const bt::GgufValue& value = entry.second;
    read_bytes(value.bytes);
    ask([&] { file.integer(key); });
    ask([&] { file.real(key); });
    ask([&] { file.boolean(key); });
    ask([&] { file.integers(key); });
    ask([&] { file.reals(key); });
    ask([&] {
      if (const auto text = file.text(key)) read_bytes(std::as_bytes(std::span(*text)));
    });
    ask([&] {
      const auto texts = file.texts(key);
      check(texts && texts->size() == value.count);
      for (const std::string_view text : *texts) read_bytes(std::as_bytes(std::span(text)));
    });
  }
  for (const bt::GgufTensor& tensor : file.tensors()) {
    check(file.tensor(tensor.name) == &tensor && tensor.shape.size() <= 4);
    if (bt::gguf_tensor_type(tensor.type) != nullptr) read_bytes(file.data(tensor));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    use(bt::GgufFile(std::as_bytes(std::span(bytes, size)), "GGUF fuzz"));
  } catch (const blocktrain::InputError&) {
  }
  return 0;
}
