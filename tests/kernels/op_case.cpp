#include "tests/kernels/op_case.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <numbers>

#include "kernels/arena.hpp"
#include "tests/kernels/cuda_case.hpp"

namespace blocktrain::kernels::testing {
namespace {

constexpr double gap_value = 12345;  // fills the gaps between the rows of strided views
constexpr std::align_val_t alignment{Arena::alignment};

/// The same number for the same name and element, whatever the implementation.
double standard_normal(const std::string& name, std::int64_t element) {
  RandomKey key;
  key.seed = 0x9ae16a3b2f90404full;
  for (const char c : name) key.seed = (key.seed ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  const auto words = random_words(key, 0, 0, static_cast<std::uint32_t>(element));
  return std::sqrt(-2 * std::log(uniform_open(words[0]))) * std::cos(2 * std::numbers::pi * uniform_open(words[1]));
}

double load(const Tensor& t, std::int64_t place) {
  switch (t.dtype) {
    case DType::float32:
      return static_cast<double>(t.as<float>()[place]);
    case DType::float64:
      return t.as<double>()[place];
    case DType::int32:
      return t.as<std::int32_t>()[place];
    case DType::bfloat16:
      break;
  }
  throw std::logic_error("unknown dtype");
}

void store(const Tensor& t, std::int64_t place, double value) {
  switch (t.dtype) {
    case DType::float32:
      t.as<float>()[place] = static_cast<float>(value);
      return;
    case DType::float64:
      t.as<double>()[place] = value;
      return;
    case DType::int32:
      t.as<std::int32_t>()[place] = static_cast<std::int32_t>(value);
      return;
    case DType::bfloat16:
      break;
  }
  throw std::logic_error("unknown dtype");
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

/// One tensor with memory of its own, so that an address sanitizer sees every overrun.
struct Operands::Operand {
  enum class Role { input, result };

  Operand(const Tensor& view, Memory where) : tensor(view), memory(where) {
    // A strided view ends with its last row, not with that row's gap.
    const std::int64_t places = view.size() == 0 ? 0 : (view.shape[0] - 1) * view.row_stride + view.row_size();
    bytes = static_cast<std::size_t>(places) * size_of(view.dtype);
    const std::size_t taken = std::max<std::size_t>(bytes, 1);
    tensor.data = memory == Memory::managed ? take_managed(taken) : ::operator new(taken, alignment);
    for (std::int64_t i = 0; i < places; ++i) store(tensor, i, gap_value);
  }
  ~Operand() {
    if (memory == Memory::managed) {
      give_managed(tensor.data);
    } else {
      ::operator delete(tensor.data, alignment);
    }
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  /// Values go through float32, so that every implementation starts from the same numbers.
  void fill_with(const std::string& name, const Fill& fill) {
    for (std::int64_t e = 0; e < tensor.size(); ++e) {
      store(tensor, place_of(tensor, e), static_cast<double>(static_cast<float>(fill(e, standard_normal(name, e)))));
    }
  }
  /// A later input() of the same name reads what the op left here.
  void become_result() {
    role = Role::result;
    fresh = false;
  }
  void remember() {
    const std::byte* const p = static_cast<const std::byte*>(tensor.data);
    original.assign(p, p + bytes);
  }

  Tensor tensor;
  Memory memory;
  std::size_t bytes = 0;
  Role role = Role::input;
  bool fresh = true;
  std::vector<std::byte> original;  // of inputs
};

Operands::Operands(DType floating, Memory memory)
    : state(*new (memory == Memory::managed ? take_managed(sizeof(StepState)) : ::operator new(sizeof(StepState)))
                StepState{}),
      floating_(floating),
      memory_(memory) {}
Operands::~Operands() {
  if (memory_ == Memory::managed) {
    give_managed(&state);
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

Tensor Operands::input(const std::string& name, Dims dims, const Fill& fill, std::int64_t row_stride) {
  Operand& o = get(name, floating_, dims, row_stride);
  if (std::exchange(o.fresh, false)) {
    o.fill_with(name, fill);
    o.remember();
  }
  return o.tensor;
}

Tensor Operands::output(const std::string& name, Dims dims, std::int64_t row_stride) {
  Operand& o = get(name, floating_, dims, row_stride);
  o.become_result();
  o.fill_with(name, constant(std::numeric_limits<double>::quiet_NaN()));
  return o.tensor;
}

Tensor Operands::changed(const std::string& name, Dims dims, const Fill& fill, std::int64_t row_stride) {
  Operand& o = get(name, floating_, dims, row_stride);
  o.become_result();
  o.fill_with(name, fill);
  return o.tensor;
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
    std::copy(values.begin(), values.end(), o.tensor.as<std::int32_t>());
    o.remember();
  }
  return o.tensor;
}

Tensor Operands::label_output(const std::string& name, std::int64_t count) {
  Operand& o = get(name, DType::int32, {count}, 0);
  o.become_result();
  for (std::int64_t n = 0; n < count; ++n) store(o.tensor, n, gap_value);
  return o.tensor;
}

void Operands::record(const std::string& name, double value) {
  Operand& o = get(name, DType::float64, {1}, 0);
  o.become_result();
  store(o.tensor, 0, value);
}

std::vector<double> Operands::read(const std::string& name) const {
  const Tensor& t = find(name).tensor;
  std::vector<double> values;
  for (std::int64_t e = 0; e < t.size(); ++e) values.push_back(load(t, place_of(t, e)));
  return values;
}

void Operands::write(const std::string& name, std::int64_t element, double value) {
  const Tensor& t = find(name).tensor;
  store(t, place_of(t, element), value);
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
  const std::byte* const p = static_cast<const std::byte*>(o.tensor.data);
  return std::vector<std::byte>(p, p + o.bytes);
}

std::string Operands::damage() const {
  std::string text;
  for (const auto& [name, operand] : operands_) {
    const Tensor& t = operand->tensor;
    if (operand->role == Operand::Role::input && operand->bytes > 0 &&
        std::memcmp(t.data, operand->original.data(), operand->bytes) != 0) {
      text += "input " + name + " was written to; ";
    }
    bool intact = true;
    for (std::int64_t row = 0; row + 1 < t.shape[0]; ++row) {
      for (std::int64_t i = t.row_size(); i < t.row_stride; ++i) {
        intact = intact && load(t, row * t.row_stride + i) == gap_value;
      }
    }
    if (!intact) text += "the gaps between rows of " + name + " were written to; ";
  }
  return text;
}

namespace {

/// Takes the largest |got - expected| of `name`, relative to the largest |expected|, into `result`.
void compare(Parity& result, const std::string& name, const std::string& where, const std::vector<double>& expected,
             const std::vector<double>& got) {
  double scale = 0, difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    scale = std::max(scale, std::abs(expected[i]));
    const double d = std::abs(expected[i] - got[i]);
    difference = d <= difference ? difference : d;  // keeps a NaN
    if (std::isnan(d)) break;
  }
  double error = scale > 0 ? difference / scale : difference;
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  if (error >= result.error) {
    result.error = error;
    result.where = name + where;
  }
}

}  // namespace

Parity parity(const Call& call) {
  const auto reference = make_reference_ops();
  Operands truth(reference->dtype());
  call(*reference, truth);

  const auto one = make_cpu_ops(1);
  const auto three = make_cpu_ops(3);
  Operands first(one->dtype()), threaded(one->dtype()), again(one->dtype());
  call(*one, first);
  one->synchronize();
  call(*three, threaded);
  call(*three, again);
  three->synchronize();

  Parity result;
  result.damage = truth.damage() + first.damage() + threaded.damage() + again.damage();
  BLOCKTRAIN_EXPECTS(!truth.results().empty() && truth.results() == first.results());
  for (const std::string& name : truth.results()) {
    compare(result, name, "", truth.read(name), first.read(name));
    result.same_bits =
        result.same_bits && first.bytes(name) == threaded.bytes(name) && threaded.bytes(name) == again.bytes(name);
  }
  if (const auto gpu = cuda_ops(DType::float32)) {
    Operands there(DType::float32, Operands::Memory::managed), twice(DType::float32, Operands::Memory::managed);
    call(*gpu, there);
    call(*gpu, twice);
    gpu->synchronize();
    result.on_gpu = true;
    result.damage += there.damage() + twice.damage();
    for (const std::string& name : truth.results()) {
      compare(result, name, " on the GPU", truth.read(name), there.read(name));
      result.same_bits = result.same_bits && there.bytes(name) == twice.bytes(name);
    }
  }
  return result;
}

void check_parity(const std::string& what, double tolerance, const Call& call) {
  const Parity p = parity(call);
  BOOST_TEST(p.error <= tolerance, what << ": '" << p.where << "' is off by " << p.error
                                        << " of its largest magnitude; accepted: " << tolerance);
  BOOST_TEST(p.same_bits, what << ": other bits on 3 threads than on 1, or in a second call, there or on the GPU");
  BOOST_TEST(p.damage.empty(), what << ": " << p.damage);
  BOOST_TEST_MESSAGE(what << ": error " << p.error << " of " << tolerance << " (" << p.where << ")");
}

double gradient_error(const GradientCase& c) {
  const auto ops = make_reference_ops();
  Operands o(ops->dtype());
  c.forward(*ops, o);
  c.backward(*ops, o);
  const std::vector<double> cotangent = o.read(c.cotangent);
  const auto objective = [&] {
    c.forward(*ops, o);
    const std::vector<double> out = o.read(c.output);
    BLOCKTRAIN_EXPECTS(out.size() == cotangent.size());
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * cotangent[i];
    return sum;
  };
  double worst = 0;
  for (const auto& [input, gradient] : c.gradients) {
    const std::vector<double> start = o.read(input), analytic = o.read(gradient);
    BLOCKTRAIN_EXPECTS(start.size() == analytic.size());
    double scale = 0, difference = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      const auto element = static_cast<std::int64_t>(i);
      constexpr double h = 1e-5;
      o.write(input, element, start[i] + h);
      const double above = objective();
      o.write(input, element, start[i] - h);
      const double below = objective();
      o.write(input, element, start[i]);
      const double d = std::abs((above - below) / (2 * h) - analytic[i]);
      if (std::isnan(d)) return std::numeric_limits<double>::infinity();
      difference = std::max(difference, d);
      scale = std::max(scale, std::abs(analytic[i]));
    }
    BOOST_TEST(scale > 0, c.what << ": the gradient " << gradient << " is all zero, which shows nothing");
    worst = std::max(worst, difference / scale);
  }
  return worst;
}

void check_gradient(const GradientCase& c) {
  const double error = gradient_error(c);
  BOOST_TEST(error <= 1e-6, c.what << ": gradients differ from central differences by " << error);
}

void for_each_implementation(const Call& call) {
  const auto run = [&](const std::unique_ptr<Ops>& ops, Operands::Memory memory) {
    Operands o(ops->dtype(), memory);
    call(*ops, o);
    BOOST_TEST(o.damage().empty(), ops->name() << ": " << o.damage());
  };
  run(make_reference_ops(), Operands::Memory::host);
  run(make_cpu_ops(2), Operands::Memory::host);
  if (auto gpu = cuda_ops(DType::float32)) run(std::move(gpu), Operands::Memory::managed);
}

void check_values(const Ops& ops, const Operands& operands, const std::string& name,
                  const std::vector<double>& expected, double tolerance) {
  const std::vector<double> got = operands.read(name);
  BOOST_REQUIRE_EQUAL(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    BOOST_TEST(std::abs(got[i] - expected[i]) <= tolerance,
               ops.name() << ": " << name << "[" << i << "] is " << got[i] << ", expected " << expected[i]);
  }
}

double kolmogorov_smirnov(std::vector<double> values, const std::function<double(double)>& cdf) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double p = cdf(values[i]);
    distance = std::max({distance, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return distance * std::sqrt(n);
}

double normal_cdf(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

}  // namespace blocktrain::kernels::testing
