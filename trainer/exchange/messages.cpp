#include "trainer/exchange/messages.hpp"

#include <cstring>

#include "comm/append_bytes.hpp"
#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

template <class T>
void put(std::vector<std::byte>& out, const T& value) {
  comm::append_bytes(out, &value, sizeof(T));
}

template <class Sequence>
void put_sequence(std::vector<std::byte>& out, const Sequence& s) {
  put(out, static_cast<std::uint64_t>(s.size()));
  comm::append_bytes(out, s.data(), s.size());
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <class Sequence>
  Sequence get_sequence() {
    const auto n = get<std::uint64_t>();
    const auto part = take(n);
    Sequence s(part.size(), {});
    if (!part.empty()) std::memcpy(s.data(), part.data(), part.size());
    return s;
  }

 private:
  std::span<const std::byte> take(std::uint64_t n) {
    if (n > bytes_.size()) throw RunError("a rank sent a damaged message: are all ranks running the same build?");
    const auto part = bytes_.first(static_cast<std::size_t>(n));
    bytes_ = bytes_.subspan(static_cast<std::size_t>(n));
    return part;
  }
  std::span<const std::byte> bytes_;
};

}  // namespace

std::vector<std::byte> encode(const Report& report) {
  std::vector<std::byte> out;
  out.reserve(64 + report.text.size() + report.digest.size() + report.bytes.size());
  put(out, report.kind);
  put(out, report.code);
  put(out, report.block);
  put(out, report.step);
  put(out, report.size);
  put(out, report.seconds);
  put_sequence(out, report.text);
  put_sequence(out, report.digest);
  put_sequence(out, report.bytes);
  return out;
}

Report decode_report(std::span<const std::byte> bytes) {
  Reader in(bytes);
  Report r;
  r.kind = in.get<ReportKind>();
  r.code = in.get<std::int32_t>();
  r.block = in.get<std::int32_t>();
  r.step = in.get<std::int64_t>();
  r.size = in.get<std::int64_t>();
  r.seconds = in.get<double>();
  r.text = in.get_sequence<std::string>();
  r.digest = in.get_sequence<std::string>();
  r.bytes = in.get_sequence<std::vector<std::byte>>();
  return r;
}

std::vector<std::byte> encode(const Control& control) {
  std::vector<std::byte> out;
  put(out, control.kind);
  put(out, control.code);
  put(out, control.block);
  put(out, control.rank);
  put(out, control.step);
  put(out, control.saved);
  return out;
}

Control decode_control(std::span<const std::byte> bytes) {
  Reader in(bytes);
  Control c;
  c.kind = in.get<ControlKind>();
  c.code = in.get<std::int32_t>();
  c.block = in.get<std::int32_t>();
  c.rank = in.get<std::int32_t>();
  c.step = in.get<std::int64_t>();
  c.saved = in.get<std::int64_t>();
  return c;
}

}  // namespace blocktrain::trainer
