#pragma once
/// Loops over the keyed random numbers of a tensor [rows, columns], one sample a row: 64 words at a time, always whole,
/// so that an element's bits do not depend on where its row ends.

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/philox_lanes.hpp"
#include "kernels/random.hpp"

namespace blocktrain::kernels {

/// Calls make(words, numbers) for every block of 64 elements of every row, which makes numbers[w][lane] of word w of
/// the groups in `words`, and then use(row, first element, count, numbers in the order of the elements).
template <class Make, class Use>
void for_each_keyed_block(int threads, std::int64_t rows, std::int64_t columns, const RandomKey& key,
                          std::uint32_t step, std::uint32_t first_sample, Make make, Use use) {
  if (columns == 0) return;
  constexpr std::int64_t block_elements = 4 * philox_lanes;
  constexpr std::int64_t piece_elements = 64 * block_elements;  // of a row, that are one piece of work
  const std::int64_t pieces_of_a_row = (columns + piece_elements - 1) / piece_elements;
  const std::int64_t pieces_at_once = std::max<std::int64_t>(1, piece_elements / columns);
  parallel_ranges(threads, rows * pieces_of_a_row, pieces_at_once, [&](std::int64_t first, std::int64_t last) {
    PhiloxWords words;
    alignas(64) float by_word[4][philox_lanes];
    alignas(64) float numbers[block_elements];
    for (std::int64_t piece = first; piece < last; ++piece) {
      const std::int64_t row = piece / pieces_of_a_row;
      const std::int64_t begin = piece % pieces_of_a_row * piece_elements;
      const std::int64_t end = std::min(begin + piece_elements, columns);
      const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(row);
      for (std::int64_t e = begin; e < end; e += block_elements) {
        philox_groups(words, key, step, sample, static_cast<std::uint32_t>(e / 4));
        make(words, by_word);
        for (int lane = 0; lane < philox_lanes; ++lane) {
          for (int w = 0; w < 4; ++w) numbers[4 * lane + w] = by_word[w][lane];
        }
        use(row, e, std::min(block_elements, end - e), numbers);
      }
    }
  });
}

}  // namespace blocktrain::kernels
