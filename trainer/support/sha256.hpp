#pragma once
/// SHA-256 (FIPS 180-4, through OpenSSL) of bytes in memory and of files.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace blocktrain::trainer {

/// A digest that is fed piece by piece.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> data);
  /// The digest of everything fed so far as 64 lower-case hex digits; ends the object's use.
  std::string hex();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string sha256_hex(std::span<const std::byte> data);
std::string sha256_hex(std::string_view text);

/// Whether `text` is 64 lower-case hex digits.
bool is_sha256_hex(std::string_view text);

}  // namespace blocktrain::trainer
