#include "blocks/batch.hpp"

#include <string>

#include "kernels/error.hpp"

namespace blocktrain::blocks {

using kernels::Tensor;

std::int64_t Field::size() const {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) n *= d;
  return n;
}

std::size_t SampleLayout::index_of(std::string_view name) const {
  std::string found;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name == name) return i;
    found += (found.empty() ? "" : ", ") + std::string(fields[i].name);
  }
  throw InputError("the network needs the field '" + std::string(name) +
                   "' of each sample; the data have: " + (found.empty() ? "none" : found));
}

std::int64_t Batch::samples() const {
  for (const Tensor& t : fields) {
    if (!t.empty()) return t.dim(0);
  }
  return 0;
}

Batch Batch::rows(Range range) const {
  Batch part;
  for (std::size_t i = 0; i < most_fields; ++i) part.fields[i] = rows_of(fields[i], range);
  part.step = step;
  part.first_sample = first_sample + static_cast<std::uint32_t>(range.begin);
  return part;
}

Tensor allocate_samples(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples,
                        const std::vector<std::int64_t>& shape) {
  BLOCKTRAIN_EXPECTS(shape.size() <= 3);
  switch (shape.size()) {
    case 0:
      return arena.allocate(dtype, {samples});
    case 1:
      return arena.allocate(dtype, {samples, shape[0]});
    case 2:
      return arena.allocate(dtype, {samples, shape[0], shape[1]});
    default:
      return arena.allocate(dtype, {samples, shape[0], shape[1], shape[2]});
  }
}

Batch bind_batch(kernels::Arena& arena, const SampleLayout& layout, std::int64_t samples) {
  BLOCKTRAIN_EXPECTS(samples >= 1 && !layout.fields.empty() && layout.fields.size() <= most_fields);
  Batch batch;
  for (std::size_t i = 0; i < layout.fields.size(); ++i) {
    batch.fields[i] = allocate_samples(arena, layout.fields[i].dtype, samples, layout.fields[i].shape);
  }
  return batch;
}

}  // namespace blocktrain::blocks
