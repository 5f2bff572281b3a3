#include "trainer/config/values.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <type_traits>

#include "trainer/config/suggest.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

constexpr std::size_t kLongestPath = 4096;

// ---- in words ---------------------------------------------------------------------------------------------

std::string words(const NumberRange& r) {
  std::string s = r.lowest_open ? "above " : "from ";
  s += shortest(r.lowest);
  if (r.highest_open) return s + " to below " + shortest(r.highest);
  return s + (r.lowest_open ? ", at most " : " to ") + shortest(r.highest);
}
std::string words(const IntegerRange& r) {
  return "from " + std::to_string(r.lowest) + " to " + std::to_string(r.highest);
}
std::string words_for_seeds() { return "from 0 to " + std::to_string(std::numeric_limits<std::uint64_t>::max()); }
std::vector<std::string_view> accepted_names(const NameValue& f) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < f.names.size(); ++i) {
    if (f.accepts(i)) names.push_back(f.names[i]);
  }
  return names;
}
std::string words(const ListLength& l) {
  if (l.least == l.most) return "a list of " + std::to_string(l.most);
  if (l.least == 0) return "a list of at most " + std::to_string(l.most);
  return "a list of " + std::to_string(l.least) + " to " + std::to_string(l.most);
}

// ---- scalars from text; nothing when the text is not one -----------------------------------------------------

bool is_digits(std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string_view::npos; }

/// Decimal integers as people write them: no sign +, point, exponent or leading zero (octal to some readers).
template <class Integer>
std::optional<Integer> parse_integer(std::string_view s) {
  const std::string_view digits = s.starts_with('-') ? s.substr(1) : s;
  if (!is_digits(digits) || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  Integer value{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view s) {
  if (s.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;  // inf, nan, hexadecimal
  if (s.starts_with('+') && s.size() > 1 && s[1] != '-') s.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc{} || end != s.data() + s.size() || !std::isfinite(value)) return std::nullopt;
  return value == 0 ? 0 : value;  // no -0
}

bool inside(const IntegerRange& r, std::int64_t v) { return r.lowest <= v && v <= r.highest; }
bool inside(const NumberRange& r, double v) {
  return (r.lowest_open ? v > r.lowest : v >= r.lowest) && (r.highest_open ? v < r.highest : v <= r.highest);
}

bool is_plain(const Node& node) { return node.kind == Node::Kind::scalar && !node.quoted; }

/// `to` = what the node says, if that is accepted.
bool read(int& to, const IntegerRange& range, const Node& node) {
  const auto v = is_plain(node) ? parse_integer<std::int64_t>(node.text) : std::nullopt;
  if (!v || !inside(range, *v)) return false;
  to = static_cast<int>(*v);
  return true;
}
bool read(std::int64_t& to, const IntegerRange& range, const Node& node) {
  const auto v = is_plain(node) ? parse_integer<std::int64_t>(node.text) : std::nullopt;
  if (!v || !inside(range, *v)) return false;
  to = *v;
  return true;
}
bool read(std::uint64_t& to, const Node& node) {
  const auto v = is_plain(node) ? parse_integer<std::uint64_t>(node.text) : std::nullopt;
  if (v) to = *v;
  return v.has_value();
}
bool read(double& to, const NumberRange& range, const Node& node) {
  const auto v = is_plain(node) ? parse_number(node.text) : std::nullopt;
  if (!v || !inside(range, *v)) return false;
  to = *v;
  return true;
}

// ---- whole values ---------------------------------------------------------------------------------------------

std::string refuse(const Node& node, const std::string& accepted) { return found(node) + "; accepted: " + accepted; }

/// A list whose items `read_item(to, node)` reads.
template <class T, class ReadItem>
std::optional<std::string> assign_list(std::vector<T>& to, const ListLength& length, const Node& node,
                                       const std::string& accepted, const ReadItem& read_item) {
  if (node.kind != Node::Kind::list) return refuse(node, accepted);
  if (node.items.size() < length.least || node.items.size() > length.most) {
    return "found a list of " + std::to_string(node.items.size()) + "; accepted: " + accepted;
  }
  std::vector<T> values(node.items.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!read_item(values[i], node.items[i])) {
      return refuse(node.items[i], accepted) + " (item " + std::to_string(i + 1) + ")";
    }
  }
  to = std::move(values);
  return std::nullopt;
}

/// What only a shell would replace stays as it is in a file, and would name a folder by accident.
std::string_view shell_syntax(std::string_view path) {
  if (path == "~" || path.starts_with("~/")) return "~";
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (path[i] != '$') continue;
    const char next = path[i + 1];
    if (next == '{' || next == '_' || (next >= 'A' && next <= 'Z') || (next >= 'a' && next <= 'z')) return "$";
  }
  return {};
}

std::optional<std::string> assign_path(std::string& to, const Node& node) {
  constexpr const char* kAccepted = "a path";
  if (node.kind != Node::Kind::scalar) return refuse(node, kAccepted);
  if (node.text.empty()) return "found an empty text; accepted: a path";
  if (node.text.size() > kLongestPath) {
    return "found " + std::to_string(node.text.size()) + " bytes; accepted: a path of at most " +
           std::to_string(kLongestPath);
  }
  for (const char c : node.text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refuse(node, "a path without control characters");
  }
  if (const std::string_view s = shell_syntax(node.text); !s.empty()) {
    return refuse(node, "a path written out; " + std::string(s) +
                            " is replaced by a shell only, so hand such a path over with --set");
  }
  to = node.text;
  return std::nullopt;
}

/// What is wrong with a node that is to be one of the names.
std::optional<std::string> wrong_name(const std::vector<std::string_view>& names, const Node& node) {
  if (node.kind == Node::Kind::scalar) {
    if (std::find(names.begin(), names.end(), node.text) != names.end()) return std::nullopt;
    if (const std::string_view near = nearest(node.text, names); !near.empty() && names.size() > 1) {
      return found(node) + " (did you mean " + std::string(near) + "?); accepted: " + join(names);
    }
  }
  return refuse(node, join(names));
}

std::optional<std::string> assign_name(const NameValue& to, const Node& node) {
  if (const auto wrong = wrong_name(accepted_names(to), node)) return wrong;
  const auto at = std::find(to.names.begin(), to.names.end(), node.text);
  *to.value = static_cast<std::uint8_t>(at - to.names.begin());
  return std::nullopt;
}

std::optional<std::string> assign_choice(const ChoiceValue& to, const Node& node) {
  if (const auto wrong = wrong_name(to.accepted, node)) return wrong;
  *to.value = node.text;
  return std::nullopt;
}

template <class T, class Format>
std::string list(const std::vector<T>& values, const Format& format) {
  std::string out = "[";
  for (const T& v : values) out += (out.size() > 1 ? ", " : "") + format(v);
  return out + "]";
}

/// Always in quotes, so that no reader takes a path for a number or a date.
std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (const auto u = static_cast<unsigned char>(c); u < 0x20 || u == 0x7f) {
      out += u < 0x10 ? "\\x0" : u < 0x20 ? "\\x1" : "\\x7";
      out += "0123456789abcdef"[u & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

std::string found(const Node& node) {
  switch (node.kind) {
    case Node::Kind::nothing:
      return "found nothing";
    case Node::Kind::list:
      return "found a list";
    case Node::Kind::map:
      return "found a map of keys";
    case Node::Kind::scalar:
      break;
  }
  return "found " + quoted_for_message(node.text) + (node.quoted ? " in quotes" : "");
}

std::string accepted_values(const SettingValue& value) {
  return std::visit(Overloaded{
                        [](const PathValue&) -> std::string { return "a path"; },
                        [](const TextValue& f) { return "a text of at most " + std::to_string(f.most) + " bytes"; },
                        [](const BooleanValue&) -> std::string { return "true or false"; },
                        [](const IntValue& f) { return "an integer " + words(f.range); },
                        [](const LongValue& f) { return "an integer " + words(f.range); },
                        [](const SeedValue&) { return "an integer " + words_for_seeds(); },
                        [](const NumberValue& f) { return "a number " + words(f.range); },
                        [](const NameValue& f) { return join(accepted_names(f)); },
                        [](const ChoiceValue& f) { return join(f.accepted); },
                        [](const IntListValue& f) { return words(f.length) + " integers " + words(f.range); },
                        [](const SeedListValue& f) { return words(f.length) + " integers " + words_for_seeds(); },
                        [](const NumberListValue& f) { return words(f.length) + " numbers " + words(f.range); },
                    },
                    value);
}

std::optional<std::string> assign(const Setting& setting, const Node& node) {
  const std::string accepted = accepted_values(setting.value);
  const auto check = [&](bool read) { return read ? std::nullopt : std::optional(refuse(node, accepted)); };
  return std::visit(Overloaded{
                        [&](const PathValue& f) { return assign_path(*f.value, node); },
                        [&](const TextValue& f) {
                          const bool valid = node.kind == Node::Kind::scalar && node.text.size() <= f.most;
                          if (valid) *f.value = node.text;
                          return check(valid);
                        },
                        [&](const BooleanValue& f) {
                          const bool yes = is_plain(node) && node.text == "true";
                          const bool valid = yes || (is_plain(node) && node.text == "false");
                          if (valid) *f.value = yes;
                          return check(valid);
                        },
                        [&](const IntValue& f) { return check(read(*f.value, f.range, node)); },
                        [&](const LongValue& f) { return check(read(*f.value, f.range, node)); },
                        [&](const SeedValue& f) { return check(read(*f.value, node)); },
                        [&](const NumberValue& f) { return check(read(*f.value, f.range, node)); },
                        [&](const NameValue& f) { return assign_name(f, node); },
                        [&](const ChoiceValue& f) { return assign_choice(f, node); },
                        [&](const IntListValue& f) {
                          return assign_list(*f.value, f.length, node, accepted,
                                             [&](int& to, const Node& item) { return read(to, f.range, item); });
                        },
                        [&](const SeedListValue& f) {
                          return assign_list(*f.value, f.length, node, accepted,
                                             [](std::uint64_t& to, const Node& item) { return read(to, item); });
                        },
                        [&](const NumberListValue& f) {
                          return assign_list(*f.value, f.length, node, accepted,
                                             [&](double& to, const Node& item) { return read(to, f.range, item); });
                        },
                    },
                    setting.value);
}

std::string to_yaml_value(const SettingValue& value) {
  const auto integer = [](auto v) { return std::to_string(v); };
  return std::visit(Overloaded{
                        [](const PathValue& f) { return double_quoted(*f.value); },
                        [](const TextValue& f) { return double_quoted(*f.value); },
                        [](const BooleanValue& f) -> std::string { return *f.value ? "true" : "false"; },
                        [](const NumberValue& f) { return shortest(*f.value); },
                        [](const NameValue& f) { return std::string(f.names[*f.value]); },
                        [](const ChoiceValue& f) { return *f.value; },
                        [&](const IntListValue& f) { return list(*f.value, integer); },
                        [&](const SeedListValue& f) { return list(*f.value, integer); },
                        [](const NumberListValue& f) { return list(*f.value, shortest); },
                        [&](const auto& f) { return integer(*f.value); },
                    },
                    value);
}

void set_from_text(const Setting& setting, std::string_view yaml) {
  if (const auto wrong = assign(setting, parse_document(yaml))) {
    throw std::logic_error("the program's own value of " + setting.name() + ": " + *wrong);
  }
}

}  // namespace blocktrain::trainer
