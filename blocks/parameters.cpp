#include "blocks/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "kernels/error.hpp"
#include "kernels/random.hpp"

namespace blocktrain::blocks {
namespace {

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) {
    BLOCKTRAIN_EXPECTS(d >= 1);
    n *= d;
  }
  return n;
}

/// Element `e` of a parameter that is not all zeros.
double initial_value(const Parameter& parameter, const kernels::RandomKey& key, std::int64_t e) {
  const auto words = kernels::random_words(key, name_hash(parameter.name), 0, static_cast<std::uint32_t>(e / 4));
  const auto lane = static_cast<std::size_t>(e % 4);
  if (parameter.uniform_bound > 0) return parameter.uniform_bound * (2 * kernels::uniform_open(words[lane]) - 1);
  return parameter.normal_deviation * kernels::normal_number(words, lane);
}

template <class T>
void write_values(T* flat, std::int64_t size, const std::vector<Parameter>& parameters, std::uint64_t seed,
                  std::uint64_t shared_seed) {
  std::fill(flat, flat + size, T(0));
  for (const Parameter& p : parameters) {
    if (p.uniform_bound == 0 && p.normal_deviation == 0) continue;
    BLOCKTRAIN_EXPECTS(p.offset >= 0 && p.offset + p.size <= size);
    const kernels::RandomKey key{p.shared ? shared_seed : seed, kernels::Purpose::initialization, 0};
    for (std::int64_t e = 0; e < p.size; ++e) flat[p.offset + e] = static_cast<T>(initial_value(p, key, e));
  }
}

}  // namespace

void ParameterNames::add(const std::string& name) {
  const auto [other, added] = by_hash_.try_emplace(name_hash(name), name);
  if (added) return;
  throw std::logic_error(other->second == name
                             ? "internal error, please report: two parameters are named " + name
                             : "internal error, please report: parameters " + other->second + " and " + name +
                                   " would start with the same random numbers, for their names have the same hash; "
                                   "one of them needs another name, or the network another number of layers or blocks");
}

BoundParameter ParameterLayout::add(Parameter parameter) {
  names_.add(parameter.name);
  parameter.size = product(parameter.shape);
  parameter.offset = elements_;
  elements_ += (parameter.size + alignment - 1) / alignment * alignment;
  parameters_.push_back(std::move(parameter));
  tensors_->values.emplace_back();
  tensors_->gradients.emplace_back();
  return {tensors_, parameters_.size() - 1};
}

BoundParameter ParameterLayout::add_xavier(const std::string& name, std::int64_t rows, std::int64_t columns) {
  Parameter p;
  p.name = name;
  p.shape = {rows, columns};
  p.decays = true;
  p.uniform_bound = std::sqrt(6.0 / static_cast<double>(rows + columns));
  return add(std::move(p));
}

BoundParameter ParameterLayout::add_normal(const std::string& name, std::int64_t rows, std::int64_t columns,
                                           double deviation, bool table) {
  Parameter p;
  p.name = name;
  p.shape = {rows, columns};
  p.decays = !table;
  p.normal_deviation = deviation;
  return add(std::move(p));
}

BoundParameter ParameterLayout::add_shared_table(const std::string& name, std::int64_t rows, std::int64_t columns,
                                                 double deviation) {
  Parameter p;
  p.name = name;
  p.shape = {rows, columns};
  p.shared = true;
  p.normal_deviation = deviation;
  return add(std::move(p));
}

BoundParameter ParameterLayout::add_zeros(const std::string& name, std::vector<std::int64_t> shape) {
  Parameter p;
  p.name = name;
  p.decays = shape.size() >= 2;
  p.shape = std::move(shape);
  return add(std::move(p));
}

std::vector<Parameter> ParameterLayout::take() {
  elements_ = 0;
  names_ = {};
  tensors_ = std::make_shared<ParameterTensors>();
  return std::exchange(parameters_, {});
}

std::vector<kernels::ElementRange> padding_of(const std::vector<Parameter>& parameters, std::int64_t elements) {
  std::vector<kernels::ElementRange> all;
  std::int64_t end = 0;
  const auto until = [&](std::int64_t next) {
    if (next > end) all.push_back({end, next});
  };
  for (const Parameter& p : parameters) {
    until(p.offset);
    end = p.offset + p.size;
  }
  until(elements);
  return all;
}

std::vector<kernels::ElementRange> undecayed_of(const std::vector<Parameter>& parameters, std::int64_t elements) {
  std::vector<kernels::ElementRange> all;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].decays) continue;
    const std::int64_t begin = parameters[i].offset;
    const std::int64_t end = i + 1 < parameters.size() ? parameters[i + 1].offset : elements;
    if (!all.empty() && all.back().end == begin) {
      all.back().end = end;
    } else {
      all.push_back({begin, end});
    }
  }
  return all;
}

std::vector<kernels::ElementRange> shared_of(const std::vector<Parameter>& parameters) {
  std::vector<kernels::ElementRange> all;
  for (const Parameter& p : parameters) {
    if (p.shared) all.push_back({p.offset, p.offset + p.size});
  }
  return all;
}

kernels::Tensor view_of(const kernels::Tensor& flat, const Parameter& parameter) {
  if (flat.empty()) return {};
  BLOCKTRAIN_EXPECTS(flat.rank == 1 && flat.contiguous() && parameter.shape.size() >= 1 && parameter.shape.size() <= 4);
  kernels::Tensor view = flat.rows(parameter.offset, parameter.offset + parameter.size);
  view.rank = static_cast<int>(parameter.shape.size());
  std::copy(parameter.shape.begin(), parameter.shape.end(), view.shape.begin());
  view.row_stride = view.row_size();
  return view;
}

void bind_tensors(std::vector<kernels::Tensor>& tensors, const std::vector<Parameter>& parameters,
                  const kernels::Tensor& flat) {
  BLOCKTRAIN_EXPECTS(tensors.size() == parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) tensors[i] = view_of(flat, parameters[i]);
}

std::uint32_t name_hash(std::string_view name) {
  std::uint32_t h = 2166136261u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}

void initialize(const kernels::Tensor& flat, const std::vector<Parameter>& parameters, std::uint64_t seed) {
  initialize(flat, parameters, seed, seed);
}

void initialize(const kernels::Tensor& flat, const std::vector<Parameter>& parameters, std::uint64_t seed,
                std::uint64_t shared_seed) {
  BLOCKTRAIN_EXPECTS(flat.contiguous() && flat.data != nullptr);
  if (flat.dtype == kernels::DType::float64) {
    write_values(flat.as<double>(), flat.size(), parameters, seed, shared_seed);
  } else {
    write_values(flat.as<float>(), flat.size(), parameters, seed, shared_seed);
  }
}

}  // namespace blocktrain::blocks
