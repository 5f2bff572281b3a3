#pragma once
/// Block files: everything one block needs to go on training, in one HDF5 file.
///
/// Name: RUN/checkpoints/block-BBBB.step-SSSSSSSS.h5, block and step in decimal with at least four and eight digits.
///
/// Format "blocktrain-block", version 1. HDF5 as of version 1.8 (superblock 2, checksummed metadata), no filters, no
/// time stamps, links (hard ones only) and attributes inside the object headers, so equal state gives equal bytes and
/// h5py, h5ls and h5diff read it.
///
///   attributes of the root group (all scalar; integers little-endian 64-bit, signed but for seed; strings ASCII of
///   fixed size):
///     format        "blocktrain-block"
///     version       1
///     block         index of the block, from 0: block 0 has the highest noise
///     blocks        number of blocks of the network
///     step          training steps this state has behind it, 0 .. 2^32 - 1
///     seed          seed of this block, unsigned
///     experiment    identity of the experiment (see trainer/config/config.hpp), hex
///     training      "block_local" or "end_to_end"
///     first_layer   index of the block's first layer in the whole network
///     layers        number of its layers
///   groups, each with one dataset per parameter, named as the parameter and of its shape, IEEE float32 little-endian,
///   stored contiguously:
///     /parameters                the weights
///     /optimizer/first_moment    AdamW's m
///     /optimizer/second_moment   AdamW's v, nothing negative
///     /average                   moving average of the weights; absent when the experiment keeps none
///
/// All numbers are finite. A reader accepts exactly this: another object, attribute of the root group, shape or
/// type is an error.
/// Version 1 files stay readable by later versions (tests/fixtures/checkpoint-v1).
///
/// Every function may be called from any thread. Writing lays the file out with the HDF5 library, one thread at a time
/// behind a process-wide lock (hdf5_check.hpp), the numbers themselves without it; reading does without the library,
/// which hostile files can crash (hdf5_structure.hpp).

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "blocks/block.hpp"
#include "trainer/config/config.hpp"

namespace blocktrain::trainer {

inline constexpr int block_file_version = 1;
/// Largest step and number of blocks: what random numbers can be keyed by (kernels/random.hpp).
inline constexpr std::int64_t max_step = 0xffffffff;
inline constexpr int max_blocks = 1 << 24;

/// What a block file says about itself.
struct BlockFileHeader {
  int block = 0;
  int blocks = 1;
  std::int64_t step = 0;
  std::uint64_t seed = 0;
  std::string experiment;  ///< 1 to 128 hex digits
  TrainingMode training = TrainingMode::block_local;
  int first_layer = 0;
  int layers = 1;
  bool average = false;  ///< whether /average is there
};

/// The flat vectors of a block's state, each of at least offset + size elements of every parameter.
/// An empty span: writing, no such group (`average` alone may be absent); reading, not wanted.
template <class T>
struct BlockTensors {
  std::span<T> parameters;
  std::span<T> first_moment;
  std::span<T> second_moment;
  std::span<T> average;
};

/// A file that was written and is durable.
struct WrittenFile {
  std::uint64_t bytes = 0;
  std::string sha256;  ///< hex
};

/// "block-0003.step-00001200.h5".
std::string block_file_name(int block, std::int64_t step);
/// Block and step of such a name; nullopt for anything else.
std::optional<std::pair<int, std::int64_t>> parse_block_file_name(const std::string& name);

/// Where the state holds a number that no training can go on from, one that is not finite or a negative second moment:
/// "/optimizer/second_moment/NAME has inf at element 3". Nullopt: nowhere.
std::optional<std::string> find_unusable(std::span<const blocks::Parameter> parameters,
                                         const BlockTensors<const float>& tensors);

/// Writes `path` durably: aside first, synced, then renamed. header.average is ignored, tensors.average
/// decides. Throws RunError: no space or permission (older files stay as they were), or the state has
/// numbers that no training can go on from.
WrittenFile write_block_file(const std::filesystem::path& path, const BlockFileHeader& header,
                             std::span<const blocks::Parameter> parameters, const BlockTensors<const float>& tensors);

/// The header of a block file. Throws InputError naming the file when it is no readable block file of a known version,
/// RunError when it is missing.
BlockFileHeader read_block_header(const std::filesystem::path& path);

/// Reads the wanted tensors of a block file after checking that it is the file of `expected` (all members but
/// `average`; a negative step: any) and holds exactly `parameters`. Padding between parameters is left alone.
/// Throws InputError naming the file, what was found, what was expected and what to do; RunError when it is missing.
BlockFileHeader read_block_file(const std::filesystem::path& path, const BlockFileHeader& expected,
                                std::span<const blocks::Parameter> parameters, const BlockTensors<float>& tensors);

}  // namespace blocktrain::trainer
