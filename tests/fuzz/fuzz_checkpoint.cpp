// Arbitrary bytes as a block file or a manifest: refused with InputError or read, never anything else.
//
// Input that starts like an HDF5 file is one, with the checksums of its object headers made right again, so that
// changes reach what reads them. Anything else is a manifest, as it stands and with its digest made right.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.hpp"
#include "tests/fixtures/checkpoint-v1/state.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/checkpoint/manifest.hpp"
#include "trainer/support/sha256.hpp"

namespace bt = blocktrain::trainer;

// Of HDF5, exported though not documented: the checksum of its metadata.
extern "C" std::uint32_t H5_checksum_metadata(const void* data, std::size_t length, std::uint32_t initial);

namespace {

/// Object headers of version 2 start with "OHDR" and say how long their first chunk is.
void repair_checksums(std::string& file) {
  const auto seal = [&](std::size_t begin, std::size_t length) {
    if (length > file.size() || begin > file.size() - length || file.size() - begin - length < 4) return;
    const std::uint32_t sum = H5_checksum_metadata(file.data() + begin, length, 0);
    std::memcpy(file.data() + begin + length, &sum, sizeof sum);
  };
  if (file.size() > 48) {
    const std::uint64_t size = file.size();
    std::memcpy(file.data() + 28, &size, sizeof size);
    seal(0, 44);
  }
  for (std::size_t at = file.find("OHDR"); at != std::string::npos; at = file.find("OHDR", at + 1)) {
    if (file.size() - at < 32) break;
    const auto flags = static_cast<unsigned char>(file[at + 5]);
    const std::size_t head = 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    const std::size_t width = std::size_t{1} << (flags & 3);
    std::uint64_t chunk = 0;
    std::memcpy(&chunk, file.data() + at + head, width);
    if (chunk < file.size()) seal(at, head + width + static_cast<std::size_t>(chunk));
  }
}

/// A file to read from, in memory where the machine has such a folder.
const std::string& scratch_path() {
  static const std::string path = [] {
    std::string name =
        ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/blocktrain-fuzz-XXXXXX" : "/tmp/blocktrain-fuzz-XXXXXX";
    const int descriptor = ::mkstemp(name.data());
    check(descriptor >= 0);
    ::close(descriptor);
    return name;
  }();
  return path;
}

void read_as_block(std::string file) {
  repair_checksums(file);
  {
    std::ofstream out(scratch_path(), std::ios::binary | std::ios::trunc);
    out.write(file.data(), static_cast<std::streamsize>(file.size()));
    check(static_cast<bool>(out.flush()));
  }
  try {
    const bt::BlockFileHeader header = bt::read_block_header(scratch_path());
    check(header.block >= 0 && header.block < header.blocks && header.step >= 0 && header.step <= bt::max_step);
  } catch (const blocktrain::InputError&) {
  }
  for (int block = 0; block < bt::checkpoint_v1::blocks; ++block) {
    std::vector<std::vector<float>> tables(4, std::vector<float>(bt::checkpoint_v1::elements, 0.0f));
    try {
      bt::read_block_file(
          scratch_path(), bt::checkpoint_v1::header(block), bt::checkpoint_v1::parameters(block),
          {tables[0], tables[1], tables[2], block == 0 ? std::span<float>(tables[3]) : std::span<float>()});
      for (const auto& table : tables) {
        for (const float value : table) check(value - value == 0);
      }
    } catch (const blocktrain::InputError&) {
    }
  }
  ::unlink(scratch_path().c_str());  // every time: libFuzzer ends without running anything at exit
}

void read_as_manifest(const std::string& text) {
  try {
    const bt::Manifest manifest = bt::parse_manifest(text, "fuzz");
    for (std::size_t b = 0; b < manifest.blocks.size(); ++b) {
      for (const bt::CommittedFile& file : manifest.blocks[b]) {
        check(file.name.find('/') == std::string::npos && file.step >= 0 && file.step <= bt::max_step);
        check(file.name == bt::block_file_name(static_cast<int>(b), file.step));
      }
    }
    check(bt::parse_manifest(bt::to_text(manifest), "again") == manifest);
  } catch (const blocktrain::InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string input(reinterpret_cast<const char*>(bytes), size);
  if (input.starts_with("\x89HDF")) {
    read_as_block(std::move(input));
    return 0;
  }
  read_as_manifest(input);
  const std::size_t tail = input.rfind("  \"sha256\": \"");
  const std::string body = input.substr(0, tail);
  read_as_manifest(body + "  \"sha256\": \"" + bt::sha256_hex(body) + "\"\n}\n");
  return 0;
}
