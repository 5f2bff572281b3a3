#include "trainer/data/decode.hpp"

#include <lzma.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <new>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

std::string damaged(const std::string& name, const std::string& what) {
  return "data file " + name + ": " + what + "; fetch or copy it again";
}

/// A compressed stream read piece by piece.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Fills `out` from its start; returns the bytes written, fewer than its size only at the end of the data.
  virtual std::size_t read(std::span<std::uint8_t> out) = 0;
};

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder(std::span<const std::uint8_t> packed, const std::string& name) : name_(name), packed_(packed) {
    constexpr int gzip_header_only = 15 + 16;  // window bits; raw zlib streams are not accepted
    if (inflateInit2(&stream_, gzip_header_only) != Z_OK) throw RunError("zlib cannot be initialised");
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;

  std::size_t read(std::span<std::uint8_t> out) override {
    std::size_t written = 0;
    while (written < out.size()) {
      // zlib counts in 32 bits, so long inputs and outputs are handed over in pieces.
      const auto in_now = static_cast<uInt>(std::min<std::size_t>(packed_.size() - used_, 1u << 30));
      const auto out_now = static_cast<uInt>(std::min<std::size_t>(out.size() - written, 1u << 30));
      if (member_ended_) {
        if (in_now == 0) break;
        inflateReset(&stream_);  // gzip files may be concatenated
        member_ended_ = false;
      }
      stream_.next_in = const_cast<Bytef*>(packed_.data() + used_);
      stream_.avail_in = in_now;
      stream_.next_out = out.data() + written;
      stream_.avail_out = out_now;
      const int rc = inflate(&stream_, Z_NO_FLUSH);
      used_ += in_now - stream_.avail_in;
      written += out_now - stream_.avail_out;
      if (rc == Z_STREAM_END) {
        member_ended_ = true;
      } else if (rc == Z_BUF_ERROR || (rc == Z_OK && used_ == packed_.size() && stream_.avail_out != 0)) {
        throw InputError(damaged(name_, "ends in the middle of its gzip data (truncated)"));
      } else if (rc == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (rc != Z_OK) {
        throw InputError(damaged(name_, std::string("is no valid gzip file at byte ") + std::to_string(used_) + " (" +
                                            (stream_.msg != nullptr ? stream_.msg : "damaged data") + ")"));
      }
    }
    return written;
  }

 private:
  std::string name_;
  std::span<const std::uint8_t> packed_;
  std::size_t used_ = 0;
  bool member_ended_ = false;
  z_stream stream_{};
};

class XzDecoder final : public Decoder {
 public:
  XzDecoder(std::span<const std::uint8_t> packed, const std::string& name) : name_(name) {
    if (lzma_stream_decoder(&stream_, decoder_memory_limit, LZMA_CONCATENATED) != LZMA_OK) {
      throw RunError("liblzma cannot be initialised");
    }
    stream_.next_in = packed.data();
    stream_.avail_in = packed.size();
  }
  ~XzDecoder() override { lzma_end(&stream_); }
  XzDecoder(const XzDecoder&) = delete;
  XzDecoder& operator=(const XzDecoder&) = delete;

  std::size_t read(std::span<std::uint8_t> out) override {
    stream_.next_out = out.data();
    stream_.avail_out = out.size();
    while (stream_.avail_out > 0 && !ended_) {
      // The whole input is there from the start, so the decoder is always told that nothing follows.
      const lzma_ret rc = lzma_code(&stream_, LZMA_FINISH);
      switch (rc) {
        case LZMA_OK:
          break;
        case LZMA_STREAM_END:
          ended_ = true;
          break;
        case LZMA_BUF_ERROR:
          throw InputError(damaged(name_, "ends in the middle of its xz data (truncated)"));
        case LZMA_FORMAT_ERROR:
          throw InputError(damaged(name_, "is no xz file, though its name says so"));
        case LZMA_OPTIONS_ERROR:
          throw InputError("data file " + name_ + ": uses xz options that liblzma does not know; pack it anew with xz");
        case LZMA_MEMLIMIT_ERROR:
          throw InputError("data file " + name_ + ": needs more than " + std::to_string(decoder_memory_limit >> 20) +
                           " MiB to be unpacked; unpack it, or pack it anew with xz -9 or less");
        case LZMA_MEM_ERROR:
          throw std::bad_alloc();
        default:
          throw InputError(damaged(name_, "has damaged xz data"));
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  std::string name_;
  bool ended_ = false;
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

std::unique_ptr<Decoder> make_decoder(Codec codec, std::span<const std::uint8_t> packed, const std::string& name) {
  BLOCKTRAIN_EXPECTS(codec != Codec::none);
  if (codec == Codec::gzip) return std::make_unique<GzipDecoder>(packed, name);
  return std::make_unique<XzDecoder>(packed, name);
}

std::string beyond_limit(const std::string& name, std::uint64_t size, std::size_t packed) {
  return "data file " + name + ": unpacks to " + std::to_string(size) + " bytes or more from " +
         std::to_string(packed) + ", beyond the limit of " + std::to_string(decoded_limit(packed)) +
         " for a compressed file; unpack it yourself if this is right";
}

}  // namespace

Codec codec_of(std::string_view file_name) {
  if (file_name.ends_with(".gz")) return Codec::gzip;
  if (file_name.ends_with(".xz")) return Codec::xz;
  return Codec::none;
}

std::vector<std::uint8_t> decode_start(Codec codec, std::span<const std::uint8_t> packed, const std::string& name,
                                       std::size_t most) {
  std::vector<std::uint8_t> start(most);
  start.resize(make_decoder(codec, packed, name)->read(start));
  return start;
}

MappedBytes decode_sized(Codec codec, std::span<const std::uint8_t> packed, const std::string& name,
                         std::size_t header_bytes, const SizeFromHeader& size_from_header) {
  const auto decoder = make_decoder(codec, packed, name);
  std::vector<std::uint8_t> header(header_bytes);
  header.resize(decoder->read(header));
  const std::size_t got = header.size();
  const std::uint64_t size = size_from_header(header);
  BLOCKTRAIN_EXPECTS(size > 0);
  const std::string trailing =
      damaged(name, "has trailing bytes after the " + std::to_string(size) + " that its header announces");
  if (size < got) throw InputError(trailing);
  if (size > decoded_limit(packed.size())) throw InputError(beyond_limit(name, size, packed.size()));

  MappedBytes decoded = MappedBytes::anonymous(size);
  const std::span<std::uint8_t> out = decoded.writable();
  std::copy(header.begin(), header.end(), out.begin());
  const std::size_t total = got + decoder->read(out.subspan(got));
  if (total < size) {
    throw InputError(damaged(
        name, "unpacks to " + std::to_string(total) + " bytes (truncated); its header says " + std::to_string(size)));
  }
  std::uint8_t more = 0;
  if (decoder->read({&more, 1}) != 0) throw InputError(trailing);
  decoded.seal();
  return decoded;
}

MappedBytes decode_unsized(Codec codec, std::span<const std::uint8_t> packed, const std::string& name) {
  const auto decoder = make_decoder(codec, packed, name);
  const std::uint64_t limit = decoded_limit(packed.size());
  // Grows by doubling; only pages that were written count, and the rest is given back at the end.
  MappedBytes decoded = MappedBytes::anonymous(std::min<std::uint64_t>(limit, std::uint64_t{4} << 20));
  std::size_t total = 0;
  for (;;) {
    total += decoder->read(decoded.writable().subspan(total));
    if (total < decoded.size()) break;
    std::uint8_t more = 0;
    if (decoder->read({&more, 1}) == 0) break;
    if (decoded.size() >= limit) throw InputError(beyond_limit(name, total + 1, packed.size()));
    decoded.resize(std::min<std::uint64_t>(limit, std::uint64_t{2} * decoded.size()));
    decoded.writable()[total++] = more;
  }
  if (total == 0) throw InputError(damaged(name, "holds nothing once unpacked"));
  decoded.resize(total);
  decoded.seal();
  return decoded;
}

}  // namespace blocktrain::trainer
