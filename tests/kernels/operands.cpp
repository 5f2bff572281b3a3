#include "tests/kernels/operands.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <numbers>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "kernels/arena.hpp"
#include "kernels/random.hpp"
#include "tests/kernels/cuda_case.hpp"
#include "tests/support/tensor_values.hpp"

namespace blocktrain::kernels::testing {
namespace {

constexpr double gap_value = 12352;  // fills the gaps between the rows of strided views; exact in bfloat16
constexpr std::align_val_t alignment{Arena::alignment};

/// The same number for the same name and element, whatever the implementation.
double standard_normal(const std::string& name, std::int64_t element) {
  RandomKey key;
  key.seed = 0x9ae16a3b2f90404full;
  for (const char c : name) key.seed = (key.seed ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  const auto words = random_words(key, 0, 0, static_cast<std::uint32_t>(element));
  return std::sqrt(-2 * std::log(uniform_open(words[0]))) * std::cos(2 * std::numbers::pi * uniform_open(words[1]));
}

std::int64_t place_of(const Tensor& t, std::int64_t element) {
  return element / t.row_size() * t.row_stride + element % t.row_size();
}

}  // namespace

Fill normal(double scale, double offset) {
  return [=](std::int64_t, double n) { return offset + scale * n; };
}
Fill noise_levels() {
  return [](std::int64_t, double n) { return std::exp(-1.2 + 1.2 * n); };
}
Fill constant(double value) {
  return [=](std::int64_t, double) { return value; };
}
Fill list(std::vector<double> values) {
  return [v = std::move(values)](std::int64_t element, double) { return v.at(static_cast<std::size_t>(element)); };
}

/// One tensor with memory of its own, so that an address sanitizer, there or on a GPU, sees every overrun.
struct Operands::Operand {
  enum class Role { input, result };

  Operand(const Tensor& view, Memory where) : tensor(view), host(view), memory(where) {
    // A strided view ends with its last row, not with that row's gap.
    const std::int64_t places = view.size() == 0 ? 0 : (view.shape[0] - 1) * view.row_stride + view.row_size();
    bytes = static_cast<std::size_t>(places) * size_of(view.dtype);
    const std::size_t taken = std::max<std::size_t>(bytes, 1);
    host.data = ::operator new(taken, alignment);
    tensor.data = memory == Memory::device ? take_device(taken) : host.data;
    for (std::int64_t i = 0; i < places; ++i) testing::set(host, i, gap_value);
  }
  ~Operand() {
    if (memory == Memory::device) give_device(tensor.data);
    ::operator delete(host.data, alignment);
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  /// Takes what was written to host() to where the op reads it.
  void send() const {
    if (memory == Memory::device) device_copy(tensor.data, host.data, bytes);
  }
  /// The tensor as the op has left it, in host memory.
  const Tensor& fetch() const {
    if (memory == Memory::device) device_copy(host.data, tensor.data, bytes);
    return host;
  }

  /// A later input() of the same name reads what the op left here.
  void become_result() {
    role = Role::result;
    fresh = false;
  }
  void remember() {
    const std::byte* const p = static_cast<const std::byte*>(host.data);
    original.assign(p, p + bytes);
  }

  Tensor tensor;  ///< what the op is given
  Tensor host;    ///< the same in host memory: itself where the op runs on the host
  Memory memory;
  std::size_t bytes = 0;
  Role role = Role::input;
  bool fresh = true;
  std::vector<std::byte> original;  // of inputs
};

Operands::Operands(DType floating, Memory memory, bool rounded)
    : state(*new (memory == Memory::device ? take_pinned(sizeof(StepState)) : ::operator new(sizeof(StepState)))
                StepState{}),
      floating_(floating),
      memory_(memory),
      rounded_(rounded) {}
Operands::Operands(const Ops& ops)
    : Operands(ops.dtype(), std::string_view(ops.name()) == "cuda" ? Memory::device : Memory::host) {}
Operands::~Operands() {
  if (memory_ == Memory::device) {
    give_pinned(&state);
  } else {
    ::operator delete(&state);
  }
}

Operands::Operand& Operands::get(const std::string& name, DType dtype, Dims dims, std::int64_t row_stride) {
  Tensor view(nullptr, dtype, dims);
  if (row_stride != 0) view.row_stride = row_stride;
  BLOCKTRAIN_EXPECTS(view.row_stride >= view.row_size());
  auto& slot = operands_[name];
  if (!slot) slot = std::make_unique<Operand>(view, memory_);
  BLOCKTRAIN_EXPECTS(slot->tensor.shape == view.shape && slot->tensor.rank == view.rank);
  return *slot;
}

const Operands::Operand& Operands::find(const std::string& name) const {
  const auto it = operands_.find(name);
  if (it == operands_.end()) throw std::logic_error("no operand named " + name);
  return *it->second;
}

/// Values go through float32, so that every implementation starts from the same numbers.
void Operands::fill(Operand& o, const std::string& name, const Fill& fill) const {
  for (std::int64_t e = 0; e < o.tensor.size(); ++e) {
    auto value = static_cast<float>(fill(e, standard_normal(name, e)));
    if (rounded_ && !precise_.contains(name)) value = std::bit_cast<float>(std::uint32_t{bfloat16_bits(value)} << 16);
    testing::set(o.host, place_of(o.host, e), static_cast<double>(value));
  }
  o.send();
}

Tensor Operands::input_of(DType dtype, const std::string& name, Dims dims, const Fill& start, std::int64_t row_stride) {
  Operand& o = get(name, dtype, dims, row_stride);
  if (std::exchange(o.fresh, false)) {
    fill(o, name, start);
    o.remember();
  }
  return o.tensor;
}

Tensor Operands::output_of(DType dtype, const std::string& name, Dims dims, std::int64_t row_stride) {
  return changed_of(dtype, name, dims, constant(std::numeric_limits<double>::quiet_NaN()), row_stride);
}

Tensor Operands::changed_of(DType dtype, const std::string& name, Dims dims, const Fill& start,
                            std::int64_t row_stride) {
  Operand& o = get(name, dtype, dims, row_stride);
  o.become_result();
  fill(o, name, start);
  return o.tensor;
}

Tensor Operands::input(const std::string& name, Dims dims, const Fill& start, std::int64_t row_stride) {
  return input_of(floating_, name, dims, start, row_stride);
}
Tensor Operands::output(const std::string& name, Dims dims, std::int64_t row_stride) {
  return output_of(floating_, name, dims, row_stride);
}
Tensor Operands::changed(const std::string& name, Dims dims, const Fill& start, std::int64_t row_stride) {
  return changed_of(floating_, name, dims, start, row_stride);
}

Tensor Operands::precise_input(const std::string& name, Dims dims, const Fill& start, std::int64_t row_stride) {
  precise_.insert(name);
  return input_of(precise(floating_), name, dims, start, row_stride);
}
Tensor Operands::precise_output(const std::string& name, Dims dims, std::int64_t row_stride) {
  precise_.insert(name);
  return output_of(precise(floating_), name, dims, row_stride);
}
Tensor Operands::precise_changed(const std::string& name, Dims dims, const Fill& start, std::int64_t row_stride) {
  precise_.insert(name);
  return changed_of(precise(floating_), name, dims, start, row_stride);
}

Tensor Operands::labels(const std::string& name, std::int64_t count, std::int32_t bound) {
  std::vector<std::int32_t> values;
  RandomKey key;
  key.seed = 77;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto word = random_words(key, 0, 0, static_cast<std::uint32_t>(n))[0];
    values.push_back(static_cast<std::int32_t>(word % static_cast<std::uint32_t>(bound)));
  }
  return labels(name, std::move(values));
}

Tensor Operands::labels(const std::string& name, std::vector<std::int32_t> values) {
  Operand& o = get(name, DType::int32, {static_cast<std::int64_t>(values.size())}, 0);
  if (std::exchange(o.fresh, false)) {
    std::copy(values.begin(), values.end(), o.host.as<std::int32_t>());
    o.send();
    o.remember();
  }
  return o.tensor;
}

Tensor Operands::label_output(const std::string& name, std::int64_t count) {
  Operand& o = get(name, DType::int32, {count}, 0);
  o.become_result();
  for (std::int64_t n = 0; n < count; ++n) testing::set(o.host, n, gap_value);
  o.send();
  return o.tensor;
}

const SigmaInterval* Operands::interval(const SigmaInterval& interval) {
  Operand& o = get("interval", DType::int32, {sizeof(interval) / sizeof(std::int32_t)}, 0);
  std::memcpy(o.host.data, &interval, sizeof(interval));
  o.send();
  o.remember();
  return static_cast<const SigmaInterval*>(o.tensor.data);
}

void Operands::record(const std::string& name, double value) {
  Operand& o = get(name, DType::float64, {1}, 0);
  o.become_result();
  testing::set(o.host, 0, value);
  o.send();
}

std::vector<double> Operands::read(const std::string& name) const {
  const Tensor& t = find(name).fetch();
  std::vector<double> values;
  for (std::int64_t e = 0; e < t.size(); ++e) values.push_back(testing::get(t, place_of(t, e)));
  return values;
}

void Operands::write(const std::string& name, std::int64_t element, double value) {
  const Operand& o = find(name);
  testing::set(o.fetch(), place_of(o.host, element), value);
  o.send();
}

std::vector<std::string> Operands::results() const {
  std::vector<std::string> names;
  for (const auto& [name, operand] : operands_) {
    if (operand->role == Operand::Role::result) names.push_back(name);
  }
  return names;
}

std::vector<std::byte> Operands::bytes(const std::string& name) const {
  const Operand& o = find(name);
  const std::byte* const p = static_cast<const std::byte*>(o.fetch().data);
  return std::vector<std::byte>(p, p + o.bytes);
}

std::string Operands::damage() const {
  std::string text;
  for (const auto& [name, operand] : operands_) {
    const Tensor& t = operand->fetch();
    if (operand->role == Operand::Role::input && operand->bytes > 0 &&
        std::memcmp(t.data, operand->original.data(), operand->bytes) != 0) {
      text += "input " + name + " was written to; ";
    }
    bool intact = true;
    for (std::int64_t row = 0; row + 1 < t.shape[0]; ++row) {
      for (std::int64_t i = t.row_size(); i < t.row_stride; ++i) {
        intact = intact && testing::get(t, row * t.row_stride + i) == gap_value;
      }
    }
    if (!intact) text += "the gaps between rows of " + name + " were written to; ";
  }
  return text;
}

}  // namespace blocktrain::kernels::testing
