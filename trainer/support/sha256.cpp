#include "trainer/support/sha256.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

void check(int result, const char* call, int line) {
  if (result != 1)
    throw_library_error(call, __FILE__, line,
                        "OpenSSL cannot compute SHA-256; is this machine restricted to other digests?");
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  if (!context_) throw_library_error("EVP_MD_CTX_new", __FILE__, __LINE__, "out of memory");
  check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr), "EVP_DigestInit_ex", __LINE__);
}

void Sha256::update(std::span<const std::byte> data) {
  check(EVP_DigestUpdate(context_.get(), data.data(), data.size()), "EVP_DigestUpdate", __LINE__);
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size), "EVP_DigestFinal_ex", __LINE__);
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * std::size_t{size});
  for (unsigned int i = 0; i < size; ++i) {
    text += digits[digest[i] >> 4];
    text += digits[digest[i] & 15];
  }
  return text;
}

std::string sha256_hex(std::span<const std::byte> data) {
  Sha256 digest;
  digest.update(data);
  return digest.hex();
}

std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text.data(), text.size()))); }

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace blocktrain::trainer
