#pragma once
/// The binary layout of CIFAR-10 and CIFAR-100: records without a header, each
///   the label bytes (CIFAR-10: one; CIFAR-100: coarse, then fine, of which the fine one is used),
///   then 3072 pixel bytes: 32x32 red, green, blue, each row by row.

#include <cstdint>
#include <span>
#include <string>

#include "trainer/tasks/images/image_source.hpp"

namespace blocktrain::trainer {

struct CifarLayout {
  std::int64_t label_bytes;  ///< before the pixels; the last of them is the class
  std::int32_t classes;
  std::int32_t coarse_classes;  ///< bound of the byte before the class, 0 without one
  std::int64_t record_bytes() const { return label_bytes + 3072; }
};

inline constexpr ImageShape cifar_shape{3, 32, 32};
inline constexpr CifarLayout cifar10_layout{1, 10, 0};
inline constexpr CifarLayout cifar100_layout{2, 100, 20};

/// How many images a file of `size` bytes holds. Throws InputError when that is no multiple of a record, or too many.
std::int64_t count_cifar_images(std::uint64_t size, const std::string& name, const CifarLayout& layout);

/// The images of one file. Throws InputError when its size is no multiple of a record, or a coarse label is out of
/// range (the classes themselves are checked with those of every format). `name` stands in messages.
ImageSegment parse_cifar_file(std::span<const std::uint8_t> bytes, const std::string& name, const CifarLayout& layout);

}  // namespace blocktrain::trainer
