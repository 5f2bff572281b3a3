#include "trainer/ledger/json_row.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace blocktrain::trainer {

namespace {

/// Length of the UTF-8 character at the front of `text`, 0 when it is not one (RFC 3629: no surrogates, no overlong
/// forms).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80, high = 0xBF;  // range of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

void JsonRow::begin(std::string_view type) {
  line_.clear();
  not_finite_.clear();
  line_ += '{';
  text("type", type);
}

void JsonRow::comma() {
  if (line_.back() != '{' && line_.back() != '[') line_ += ',';
}

void JsonRow::name(std::string_view name) {
  comma();
  line_ += '"';
  line_ += name;
  line_ += "\":";
}

template <typename Integer>
void JsonRow::append_integer(Integer value) {
  char digits[24];
  line_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

bool JsonRow::nulls_not_finite(std::string_view name, double value) {
  if (std::isfinite(value)) return false;
  line_ += "null";
  if (std::find(not_finite_.begin(), not_finite_.end(), name) == not_finite_.end()) not_finite_.push_back(name);
  return true;
}

void JsonRow::append_number(std::string_view name, double value) {
  if (nulls_not_finite(name, value)) return;
  char digits[32];  // the shortest digits that read back as the same double
  line_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void JsonRow::append_text(std::string_view value) {
  constexpr std::string_view hex = "0123456789abcdef";
  line_ += '"';
  while (!value.empty()) {
    const std::size_t length = utf8_length(value);
    const auto first = static_cast<unsigned char>(value.front());
    if (length == 0) {
      line_ += "\xEF\xBF\xBD";
    } else if (first == '"' || first == '\\') {
      line_ += '\\';
      line_ += value.front();
    } else if (first == '\n') {
      line_ += "\\n";
    } else if (first < 0x20) {
      line_ += "\\u00";
      line_ += hex[first >> 4];
      line_ += hex[first & 15];
    } else {
      line_ += value.substr(0, length);
    }
    value.remove_prefix(std::max<std::size_t>(length, 1));
  }
  line_ += '"';
}

void JsonRow::integer(std::string_view field, std::int64_t value) {
  name(field);
  append_integer(value);
}

void JsonRow::integer(std::string_view field, std::uint64_t value) {
  name(field);
  append_integer(value);
}

void JsonRow::number(std::string_view field, double value) {
  name(field);
  append_number(field, value);
}

void JsonRow::rounded(std::string_view field, double value, int digits) {
  name(field);
  if (nulls_not_finite(field, value)) return;
  char text[32];
  line_.append(text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, digits).ptr);
}

void JsonRow::fixed(std::string_view field, double value, int places) {
  name(field);
  if (nulls_not_finite(field, value)) return;
  char text[512];  // a double has up to 309 digits before the point
  line_.append(text, std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, places).ptr);
}

void JsonRow::text(std::string_view field, std::string_view value) {
  name(field);
  append_text(value);
}

void JsonRow::boolean(std::string_view field, bool value) {
  name(field);
  line_ += value ? "true" : "false";
}

void JsonRow::null(std::string_view field) {
  name(field);
  line_ += "null";
}

void JsonRow::raw(std::string_view field, std::string_view json) {
  name(field);
  line_ += json;
}

void JsonRow::open_object(std::string_view field) {
  name(field);
  line_ += '{';
}

void JsonRow::open_array(std::string_view field) {
  name(field);
  line_ += '[';
}

void JsonRow::open_element() {
  comma();
  line_ += '{';
}

void JsonRow::close_object() { line_ += '}'; }
void JsonRow::close_array() { line_ += ']'; }

void JsonRow::element(std::int64_t value) {
  comma();
  append_integer(value);
}

void JsonRow::element(std::string_view value) {
  comma();
  append_text(value);
}

void JsonRow::element(std::string_view array, double value) {
  comma();
  append_number(array, value);
}

const std::string& JsonRow::finish() {
  if (!not_finite_.empty()) {
    open_array("not_finite");
    for (const std::string_view field : not_finite_) element(field);
    close_array();
  }
  line_ += "}\n";
  return line_;
}

}  // namespace blocktrain::trainer
