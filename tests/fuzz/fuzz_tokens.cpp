// Arbitrary bytes as files of text and of token ids: refused with InputError or read, never anything else.
//
// Input: a byte for data.format, data.documents and data.deduplicate; one for the names of the files; one for the
// separator and the id that ends documents; one for the window; a 16-bit little-endian length for each file but the
// last; their bytes.

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/error.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/data/samples.hpp"
#include "trainer/tasks/tokens/token_files.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"

namespace bt = blocktrain::trainer;

namespace {

const std::vector<std::vector<std::string>> file_sets{
    {"a.txt"},
    {"a.bin"},
    {"train.txt", "val.txt"},
    {"train.bin", "val.bin"},
    {"a.txt", "b.txt", "c.txt"},
    {"a.bin", "b.bin"},
    {"a.txt", "a.bin"},
    {"train/a", "test/a"},
};

/// Whatever was accepted has to keep its promises.
void use(const bt::TokenSamples& samples) {
  const bt::TokenDataset& data = samples.dataset();
  const std::int64_t length = samples.windows(bt::Split::train).length();
  check(data.digest().size() == 64);
  blocktrain::kernels::Arena arena = blocktrain::kernels::Arena::host("fuzz", std::size_t{1} << 16);
  const blocktrain::blocks::Batch batch = blocktrain::blocks::bind_batch(arena, samples.layout(), 1);
  const std::int32_t* ids = batch.fields[bt::tokens_field].as<std::int32_t>();
  for (const bt::Split split : {bt::Split::train, bt::Split::heldout}) {
    check(samples.count(split) >= 1 && samples.count(split) * length <= data.split(split).tokens());
    for (const std::int64_t i : {std::int64_t{0}, samples.count(split) / 2, samples.count(split) - 1}) {
      for (const std::uint64_t pass : {0, 1, 7}) {
        const std::vector<std::uint64_t> passes{pass};
        samples.fill(batch, split, std::vector<std::int64_t>{i},
                     split == bt::Split::train ? std::optional(bt::TrainingKey(3, passes)) : std::nullopt);
        for (std::int64_t t = 0; t < length; ++t) check(ids[t] >= 0 && ids[t] < data.vocabulary());
      }
    }
  }
  const bt::SampleOrder order(3, samples.count(bt::Split::train));
  check(samples.distinct_targets(order, 5 * order.count() + 1).value() <= data.split(bt::Split::train).tokens());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::uint8_t* const end = bytes + size;
  if (size < 4) return 0;
  bt::TokenDataOptions options;
  options.format = static_cast<bt::TokenFormat>(bytes[0] % 5);
  options.documents = bytes[0] & 0x40 ? bt::DocumentMode::apart : bt::DocumentMode::joined;
  options.deduplicate = bytes[0] & 0x80 ? bt::Deduplication::exact : bt::Deduplication::none;
  const std::vector<std::string>& names = file_sets[bytes[1] % file_sets.size()];
  if (bytes[1] & 0x80) options.vocabulary = 300;
  if (bytes[2] & 0x80) options.separator = std::string(1 + bytes[2] % 2, static_cast<char>('a' + bytes[2] % 4));
  if (bytes[2] & 0x40) options.end_of_text = bytes[2] % 64;
  const std::int64_t context = 1 + bytes[3] % 32;
  bytes += 4;
  std::map<std::string, std::vector<std::uint8_t>> files;
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i + 1 < names.size(); ++i) {
    if (end - bytes < 2) return 0;
    lengths.push_back(static_cast<std::size_t>(bytes[0] | bytes[1] << 8));
    bytes += 2;
  }
  lengths.push_back(static_cast<std::size_t>(end - bytes));
  std::vector<bt::TokenFile> found;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t length = std::min(lengths[i], static_cast<std::size_t>(end - bytes));
    if (length > 0) found.push_back({names[i], names[i], length});  // empty files are not listed
    files[names[i]] = {bytes, bytes + length};
    bytes += length;
  }
  const bt::OpenTokenFile open = [&](const bt::TokenFile& file) { return mapped_file(files.at(file.name)); };
  try {
    const bt::TokenFiles chosen = bt::choose_token_files("fuzz", found, options.format, open);
    use({bt::TokenDataset::assemble(chosen, options, bt::tokenizer_for(chosen.format, options), open), "fuzz",
         context});
  } catch (const blocktrain::InputError&) {
  }
  return 0;
}
