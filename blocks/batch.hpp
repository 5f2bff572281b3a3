#pragma once
/// Samples as networks take them: tensors with names, one per field of the data. What an image, a label or a text is
/// made of stands in the layout alone, so whoever copies, cuts or counts batches needs to know none of them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/tensor.hpp"

namespace blocktrain::blocks {

/// Samples [begin, end) of a batch.
struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

/// One tensor of every sample.
struct Field {
  std::string_view name;  ///< "image", "label", "tokens"; a literal
  kernels::DType dtype = kernels::DType::float32;
  std::vector<std::int64_t> shape;  ///< of one sample, at most three dimensions; none for a single number
  bool operator==(const Field&) const = default;
  /// Numbers in one sample.
  std::int64_t size() const;
};

/// Fields that a sample has at most.
inline constexpr std::size_t most_fields = 4;

/// What a sample is made of, which data and network have to agree on.
struct SampleLayout {
  std::vector<Field> fields;
  std::int64_t targets = 1;  ///< predicted per sample: 1 label, T tokens; an image counts by the patches it is cut into
  std::int64_t classes = 1;  ///< values that a label or a token takes, counted from 0
  bool operator==(const SampleLayout&) const = default;

  /// Where the field of that name stands. Throws InputError naming what there is.
  std::size_t index_of(std::string_view name) const;
  const Field& field(std::string_view name) const { return fields[index_of(name)]; }
};

/// Samples in one memory, the host's or a device's.
struct Batch {
  /// [samples, ...] in the order of the layout. Empty where there is no such field, or nobody needs it: of what is to
  /// be generated there are conditions alone.
  std::array<kernels::Tensor, most_fields> fields;
  std::uint32_t step = 0;
  std::uint32_t first_sample = 0;  ///< index of sample 0 in the global batch: keys its random numbers

  std::int64_t samples() const;
  /// Samples [begin, end) of this batch.
  Batch rows(Range range) const;
};

/// Takes a tensor for `samples` samples whose own shape is `shape`.
kernels::Tensor allocate_samples(kernels::Arena& arena, kernels::DType dtype, std::int64_t samples,
                                 const std::vector<std::int64_t>& shape);

/// Takes a batch of `samples` samples, field by field.
Batch bind_batch(kernels::Arena& arena, const SampleLayout& layout, std::int64_t samples);

/// Samples of a tensor that may be empty.
inline kernels::Tensor rows_of(const kernels::Tensor& t, Range range) {
  return t.empty() ? t : t.rows(range.begin, range.end);
}

/// [N, ...] as a matrix of one row per sample.
inline kernels::Tensor sample_rows(const kernels::Tensor& t) {
  return t.empty() ? t : t.reshaped({t.dim(0), t.row_size()});
}

}  // namespace blocktrain::blocks
