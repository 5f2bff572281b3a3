#pragma once
/// Builds one line of JSON into a buffer that is used again for the next: no tree, no allocation once it has grown.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blocktrain::trainer {

class JsonRow {
 public:
  /// Starts a line: {"type":TYPE. Names of fields are ours and need no escapes.
  void begin(std::string_view type);

  void integer(std::string_view name, std::int64_t value);
  void integer(std::string_view name, std::uint64_t value);
  /// JSON has no NaN and no infinity: those become null and the name joins the field "not_finite".
  void number(std::string_view name, double value);
  /// The same with at most `digits` significant digits, 1 to 17.
  void rounded(std::string_view name, double value, int digits);
  /// The same with `places` digits behind the point, for values that have no more than 17 digits in all.
  void fixed(std::string_view name, double value, int places);
  /// Bytes that are not UTF-8 become U+FFFD.
  void text(std::string_view name, std::string_view value);
  void boolean(std::string_view name, bool value);
  void null(std::string_view name);
  /// `json` as it is; it has to be one value without a line break.
  void raw(std::string_view name, std::string_view json);

  void open_object(std::string_view name);
  void open_array(std::string_view name);
  /// Opens an object as element of an array.
  void open_element();
  void close_object();
  void close_array();
  void element(std::int64_t value);
  void element(std::string_view value);
  /// As number(); `name` is that of the array.
  void element(std::string_view name, double value);

  /// Ends the line, '\n' included. Valid until the next begin().
  const std::string& finish();

 private:
  void name(std::string_view name);
  void comma();
  void append_text(std::string_view value);
  /// Writes null and notes the name where `value` is not finite; says whether it did.
  bool nulls_not_finite(std::string_view name, double value);
  void append_number(std::string_view name, double value);
  template <typename Integer>
  void append_integer(Integer value);

  std::string line_;
  std::vector<std::string_view> not_finite_;
};

}  // namespace blocktrain::trainer
