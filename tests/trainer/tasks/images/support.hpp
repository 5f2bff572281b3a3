#pragma once
/// What the tests of trainer/data share: fresh folders, files, packing, and small data sets to write.

#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/tasks/images/image_dataset.hpp"

namespace blocktrain::trainer::test {

using Bytes = std::vector<std::uint8_t>;
namespace fs = std::filesystem;

/// A folder of its own that goes away with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "blocktrain-data-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

  void write(const std::string& name, const Bytes& bytes) const {
    std::ofstream out(path_ / name, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    BOOST_REQUIRE(out.good());
  }

 private:
  fs::path path_;
};

inline Bytes read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  BOOST_REQUIRE(in.good());
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

inline fs::path fixture_folder() {
  const char* root = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  BOOST_REQUIRE_MESSAGE(root != nullptr, "run through ctest, or set BLOCKTRAIN_TEST_SOURCE_DIR to the repository");
  return fs::path(root) / "tests/fixtures/digits";
}

inline Bytes gzip(const Bytes& plain) {
  z_stream z{};
  BOOST_REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes packed(deflateBound(&z, plain.size()) + 32);
  z.next_in = const_cast<Bytef*>(plain.data());
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = packed.data();
  z.avail_out = static_cast<uInt>(packed.size());
  BOOST_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  packed.resize(z.total_out);
  deflateEnd(&z);
  return packed;
}

inline Bytes xz(const Bytes& plain) {
  Bytes packed(lzma_stream_buffer_bound(plain.size()));
  std::size_t size = 0;
  BOOST_REQUIRE(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, plain.data(), plain.size(), packed.data(), &size,
                                        packed.size()) == LZMA_OK);
  packed.resize(size);
  return packed;
}

/// An IDX file of unsigned bytes (or, with `type`, what claims to be something else).
inline Bytes idx(std::initializer_list<std::uint32_t> dims, const Bytes& elements, std::uint8_t type = 8) {
  Bytes file{0, 0, type, static_cast<std::uint8_t>(dims.size())};
  for (const std::uint32_t d : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<std::uint8_t>(d >> shift));
  }
  file.insert(file.end(), elements.begin(), elements.end());
  return file;
}

/// `count` bytes that look random, the same in every run.
inline Bytes noise(std::size_t count, std::uint32_t seed = 1) {
  Bytes bytes(count);
  for (auto& b : bytes) {
    seed = seed * 1664525u + 1013904223u;
    b = static_cast<std::uint8_t>(seed >> 24);
  }
  return bytes;
}

/// `count` CIFAR records with `label_bytes` label bytes each, labels i % classes, coarse labels i % 20.
inline Bytes cifar(std::size_t count, std::size_t label_bytes, std::size_t classes, std::uint32_t seed = 1) {
  Bytes file;
  const Bytes pixels = noise(count * 3072, seed);
  for (std::size_t i = 0; i < count; ++i) {
    if (label_bytes == 2) file.push_back(static_cast<std::uint8_t>(i % 20));
    file.push_back(static_cast<std::uint8_t>(i % classes));
    file.insert(file.end(), pixels.begin() + static_cast<std::ptrdiff_t>(i * 3072),
                pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * 3072));
  }
  return file;
}

/// Labels 0, 1, .., classes-1, 0, 1, ...
inline Bytes cyclic_labels(std::uint32_t count, std::uint32_t classes) {
  Bytes labels(count);
  for (std::uint32_t i = 0; i < count; ++i) labels[i] = static_cast<std::uint8_t>(i % classes);
  return labels;
}

/// A plain IDX data set: `count` images of 5x4 with 3 classes, and nothing held out.
inline void write_small_idx(const TemporaryFolder& folder, std::uint32_t count) {
  folder.write("train-images-idx3-ubyte", idx({count, 5, 4}, noise(std::size_t{count} * 20)));
  folder.write("train-labels-idx1-ubyte", idx({count}, cyclic_labels(count, 3)));
}

/// Checks that `act` throws InputError whose message has all of `parts`.
inline void check_input_error(const std::function<void()>& act, std::initializer_list<std::string> parts) {
  try {
    act();
    BOOST_ERROR("nothing was thrown");
  } catch (const InputError& e) {
    const std::string message = e.what();
    for (const std::string& part : parts) {
      BOOST_CHECK_MESSAGE(message.find(part) != std::string::npos, "no '" + part + "' in: " + message);
    }
  }
}

}  // namespace blocktrain::trainer::test
