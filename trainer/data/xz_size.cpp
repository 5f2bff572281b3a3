#include "trainer/data/xz_size.hpp"

#include <lzma.h>

#include <new>

#include "kernels/error.hpp"
#include "trainer/data/decode.hpp"

namespace blocktrain::trainer {
namespace {

/// Owner of a decoded index.
struct Index {
  lzma_index* index = nullptr;
  Index() = default;
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;
  ~Index() { lzma_index_end(index, nullptr); }
};

bool is_zero(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t b : bytes) {
    if (b != 0) return false;
  }
  return true;
}

}  // namespace

std::uint64_t xz_decoded_size(std::span<const std::uint8_t> packed, const std::string& name) {
  const auto refuse = [&name](const std::string& what) {
    return InputError("data file " + name + ": " + what + "; fetch or copy it again");
  };
  const std::uint64_t limit = decoded_limit(packed.size());
  std::uint64_t size = 0;
  // Files may be concatenated, and padded by zeros in fours: from the last stream to the first.
  for (std::size_t end = packed.size(); end > 0;) {
    if (end >= 4 && is_zero(packed.subspan(end - 4, 4))) {
      end -= 4;
      if (end == 0) throw refuse("is no xz file, though its name says so");
      continue;
    }
    lzma_stream_flags footer{}, header{};
    constexpr std::size_t edge = LZMA_STREAM_HEADER_SIZE;  // of a stream's header and of its footer
    if (end < 2 * edge || lzma_stream_footer_decode(&footer, packed.data() + end - edge) != LZMA_OK) {
      throw refuse("does not end as an xz file does (truncated, or no xz file)");
    }
    if (footer.backward_size > end - 2 * edge) throw refuse("has a damaged xz index");
    Index decoded;
    std::uint64_t memory = decoder_memory_limit;
    std::size_t read = 0;
    const auto index_bytes = static_cast<std::size_t>(footer.backward_size);
    const lzma_ret rc = lzma_index_buffer_decode(&decoded.index, &memory, nullptr,
                                                 packed.data() + end - edge - index_bytes, &read, index_bytes);
    if (rc == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (rc != LZMA_OK || read != index_bytes) throw refuse("has a damaged xz index");
    const std::uint64_t stream = lzma_index_stream_size(decoded.index);
    if (stream > end || lzma_stream_header_decode(&header, packed.data() + end - stream) != LZMA_OK ||
        lzma_stream_flags_compare(&header, &footer) != LZMA_OK) {
      throw refuse("has an xz index that does not belong to it (truncated, or damaged)");
    }
    const std::uint64_t inside = lzma_index_uncompressed_size(decoded.index);
    if (inside > limit - size) {
      throw InputError("data file " + name + ": unpacks to more than " + std::to_string(limit) +
                       " bytes, beyond the limit for a compressed file of " + std::to_string(packed.size()) +
                       " bytes; unpack it yourself if this is right");
    }
    size += inside;
    end -= static_cast<std::size_t>(stream);
  }
  if (size == 0) throw refuse("holds nothing once unpacked");
  return size;
}

}  // namespace blocktrain::trainer
