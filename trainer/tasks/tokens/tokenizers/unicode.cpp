#include "trainer/tasks/tokens/tokenizers/unicode.hpp"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "kernels/error.hpp"
#include "trainer/support/utf8.hpp"

namespace blocktrain::trainer {
namespace {

/// Every character below is in normal form C, and joins none before it.
constexpr char32_t first_that_may_compose = 0x300;

const utf8proc_uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

CharacterClass class_of(utf8proc_int32_t code) {
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::space;
    default:
      return code == 0x85 ? CharacterClass::space : CharacterClass::other;  // next line, the one control beside ASCII's
  }
}

bool may_compose(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0xcc) return true;  // U+0300 begins with 0xcc
  }
  return false;
}
static_assert(first_that_may_compose >> 6 == (0xcc & 0x1f));

}  // namespace

void require_utf8(std::string_view text) {
  if (const auto fault = utf8_fault(text)) {
    throw InputError(*fault + "; convert the text to UTF-8, or take bytes as tokens");
  }
}

Character detail::decode_character(std::string_view text, std::size_t at) {
  utf8proc_int32_t code = 0;
  const std::string_view rest = text.substr(at, 4);
  const utf8proc_ssize_t length = utf8proc_iterate(bytes_of(rest), static_cast<utf8proc_ssize_t>(rest.size()), &code);
  BLOCKTRAIN_EXPECTS(length > 0);
  return {static_cast<char32_t>(code), static_cast<std::uint8_t>(length), class_of(code)};
}

void append_normal_form_c(std::string_view text, std::string& out) {
  if (!may_compose(text)) {
    out += text;
    return;
  }
  utf8proc_uint8_t* made = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(bytes_of(text), static_cast<utf8proc_ssize_t>(text.size()), &made,
                                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(made, &std::free);
  if (length < 0) throw RunError(std::string("normal form C of a text failed: ") + utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(made), static_cast<std::size_t>(length));
}

}  // namespace blocktrain::trainer
