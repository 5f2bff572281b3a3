// Files that are whole but are not what was asked for: each is refused with its name and the reason. Foreign files are
// made with HDF5 itself, as somebody else's program would.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/hdf5_file.hpp"
#include "trainer/checkpoint/hdf5_structure.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

struct Fixture {
  TemporaryFolder folder;
  std::filesystem::path path = folder / "block.h5";
  std::vector<blocks::Parameter> parameters = small_parameters();
  State state = make_state(parameters, 1, 10, true);
  State read = blank_state(parameters, true);

  Fixture() { write(); }
  void write() { write_block_file(path, make_header(1, 10), parameters, state.view()); }

  void refused(const BlockFileHeader& expected, const std::vector<std::string>& parts) {
    std::vector<std::string> all{path.string()};
    all.insert(all.end(), parts.begin(), parts.end());
    BOOST_CHECK_EXCEPTION(read_block_file(path, expected, parameters, read.writable()), InputError, Mentions{all});
  }
  void refused(const std::vector<std::string>& parts) { refused(make_header(1, 10), parts); }

  /// Changes the file with HDF5, checks that it is refused, and restores it.
  void edited(const std::vector<std::string>& parts, const std::function<void(hid_t)>& edit) {
    {
      const Hdf5Session session;
      const Hdf5Handle access = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
      BLOCKTRAIN_HDF5(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
      Hdf5Handle file = BLOCKTRAIN_HDF5_OPEN(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), H5Fclose);
      edit(file);
      file.close();
    }
    refused(parts);
    write();
    BOOST_CHECK_NO_THROW(read_block_file(path, make_header(1, 10), parameters, read.writable()));
  }
};

void make_dataset(hid_t file, const std::string& name, hid_t type, const std::vector<hsize_t>& shape,
                  hid_t list = H5P_DEFAULT) {
  const Hdf5Handle space =
      BLOCKTRAIN_HDF5_OPEN(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  BLOCKTRAIN_HDF5_OPEN(H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, list, H5P_DEFAULT), H5Dclose);
}

void replace_integer(hid_t file, const char* name, std::int64_t value) {
  const Hdf5Handle attribute = BLOCKTRAIN_HDF5_OPEN(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
  BLOCKTRAIN_HDF5(H5Awrite(attribute, H5T_NATIVE_INT64, &value));
}

void add_integer(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& shape) {
  const Hdf5Handle space = shape.empty() ? BLOCKTRAIN_HDF5_OPEN(H5Screate(H5S_SCALAR), H5Sclose)
                                         : BLOCKTRAIN_HDF5_OPEN(H5Screate_simple(1, shape.data(), nullptr), H5Sclose);
  const Hdf5Handle attribute =
      BLOCKTRAIN_HDF5_OPEN(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const std::vector<std::int64_t> values(shape.empty() ? 1 : static_cast<std::size_t>(shape[0]), 1);
  BLOCKTRAIN_HDF5(H5Awrite(attribute, H5T_NATIVE_INT64, values.data()));
}

const std::string qkv = "/parameters/layers.4.attention.qkv.weight";

BOOST_FIXTURE_TEST_CASE(another_block_or_experiment, Fixture) {
  BlockFileHeader expected = make_header(1, 10);
  expected.experiment = identity_b;
  refused(expected, {"belongs to experiment " + identity_a, identity_b, "config.yaml"});
  refused(make_header(2, 10), {"its block is 1, expected 2"});
  refused(make_header(1, 11), {"its step is 10, expected 11"});
  refused(make_header(1, 10, 5), {"number of blocks is 4, expected 5"});
  expected = make_header(1, 10);
  expected.seed = 3;
  refused(expected, {"seed"});
  expected = make_header(1, 10);
  expected.training = TrainingMode::end_to_end;
  refused(expected, {"training mode is block_local, expected end_to_end"});
  expected = make_header(1, 10);
  expected.first_layer = 0;
  refused(expected, {"first layer is 3, expected 0"});
  expected = make_header(1, 10);
  expected.layers = 1;
  refused(expected, {"number of layers is 3, expected 1"});
}

BOOST_FIXTURE_TEST_CASE(another_network, Fixture) {
  const auto original = parameters;
  parameters[1].name = "layers.4.attention.other";
  refused({"/parameters/layers.4.attention.other is missing"});
  parameters = original;
  parameters.pop_back();
  refused({"layers.5.modulation.weight, which the network does not have"});
  parameters = original;
  parameters[1].shape = {2, 6};
  refused({qkv, "[6, 2]", "[2, 6]"});
  parameters[1].shape = {12};
  refused({qkv, "[6, 2]", "[12]"});
}

BOOST_FIXTURE_TEST_CASE(a_missing_average, Fixture) {
  state.average.clear();
  write();
  refused({"/average"});
  read.average.clear();
  BOOST_CHECK_NO_THROW(read_block_file(path, make_header(1, 10), parameters, read.writable()));
}

BOOST_FIXTURE_TEST_CASE(other_kinds_of_objects, Fixture) {
  const auto unlink = [](hid_t file, const std::string& name) {
    BLOCKTRAIN_HDF5(H5Ldelete(file, name.c_str(), H5P_DEFAULT));
  };
  edited({qkv + " is missing"}, [&](hid_t file) { unlink(file, qkv); });
  edited({"/optimizer/second_moment/patch.weight is missing"},
         [&](hid_t file) { unlink(file, "/optimizer/second_moment/patch.weight"); });
  edited({"/optimizer/first_moment is missing"}, [&](hid_t file) { unlink(file, "/optimizer/first_moment"); });
  edited({"/parameters is missing"}, [&](hid_t file) { unlink(file, "/parameters"); });
  edited({"/parameters/more"}, [&](hid_t file) { make_dataset(file, "/parameters/more", H5T_IEEE_F32LE, {2}); });
  edited({"/more"}, [&](hid_t file) { make_dataset(file, "/more", H5T_IEEE_F32LE, {2}); });
  edited({qkv, "float32"}, [&](hid_t file) {
    unlink(file, qkv);
    make_dataset(file, qkv, H5T_IEEE_F64LE, {6, 2});
  });
  edited({qkv, "float32"}, [&](hid_t file) {
    unlink(file, qkv);
    make_dataset(file, qkv, H5T_IEEE_F32BE, {6, 2});
  });
  // A type that stands somewhere else in the file.
  edited({"message of kind 3"}, [&](hid_t file) {
    unlink(file, qkv);
    const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
    BLOCKTRAIN_HDF5(H5Tcommit2(file, "/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    make_dataset(file, qkv, type, {6, 2});
    BLOCKTRAIN_HDF5(H5Ldelete(file, "/type", H5P_DEFAULT));
  });
  edited({qkv, "not a dataset"}, [&](hid_t file) {
    unlink(file, qkv);
    BLOCKTRAIN_HDF5_OPEN(H5Gcreate2(file, qkv.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  });
  edited({"/average is not a group"}, [&](hid_t file) {
    unlink(file, "/average");
    make_dataset(file, "/average", H5T_IEEE_F32LE, {2});
  });
  edited({qkv, "shape []"}, [&](hid_t file) {
    unlink(file, qkv);
    const Hdf5Handle space = BLOCKTRAIN_HDF5_OPEN(H5Screate(H5S_SCALAR), H5Sclose);
    BLOCKTRAIN_HDF5_OPEN(H5Dcreate2(file, qkv.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         H5Dclose);
  });
}

BOOST_FIXTURE_TEST_CASE(ways_out_of_the_file, Fixture) {
  const auto unlink = [](hid_t file, const std::string& name) {
    BLOCKTRAIN_HDF5(H5Ldelete(file, name.c_str(), H5P_DEFAULT));
  };
  write_block_file(folder / "other.h5", make_header(1, 10), parameters, state.view());
  const std::string other = (folder / "other.h5").string();
  edited({qkv, "link to elsewhere"}, [&](hid_t file) {
    unlink(file, qkv);
    BLOCKTRAIN_HDF5(H5Lcreate_external(other.c_str(), qkv.c_str(), file, qkv.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  });
  edited({qkv, "link to elsewhere"}, [&](hid_t file) {
    unlink(file, qkv);
    BLOCKTRAIN_HDF5(H5Lcreate_soft("/average/patch.weight", file, qkv.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  });
  edited({"/parameters", "link to elsewhere"}, [&](hid_t file) {
    unlink(file, "/parameters");
    BLOCKTRAIN_HDF5(H5Lcreate_external(other.c_str(), "/parameters", file, "/parameters", H5P_DEFAULT, H5P_DEFAULT));
  });
  const std::string raw = (folder / "raw.bin").string();
  write_bytes(raw, std::string(48, '\0'));
  edited({qkv, "plain piece inside the file"}, [&](hid_t file) {
    unlink(file, qkv);
    const Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    BLOCKTRAIN_HDF5(H5Pset_external(list, raw.c_str(), 0, 48));
    make_dataset(file, qkv, H5T_IEEE_F32LE, {6, 2}, list);
  });
  edited({qkv, "plain piece inside the file"}, [&](hid_t file) {
    unlink(file, qkv);
    const Hdf5Handle list = BLOCKTRAIN_HDF5_OPEN(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t chunk[2] = {6, 2};
    BLOCKTRAIN_HDF5(H5Pset_chunk(list, 2, chunk));
    BLOCKTRAIN_HDF5(H5Pset_deflate(list, 9));
    make_dataset(file, qkv, H5T_IEEE_F32LE, {6, 2}, list);
  });
  // Never allocated: HDF5 would make up its numbers.
  edited({qkv, "plain piece inside the file"}, [&](hid_t file) {
    unlink(file, qkv);
    make_dataset(file, qkv, H5T_IEEE_F32LE, {6, 2});
  });
}

BOOST_FIXTURE_TEST_CASE(other_attributes, Fixture) {
  const auto drop = [](hid_t file, const char* name) { BLOCKTRAIN_HDF5(H5Adelete(file, name)); };
  edited({"version 2", "newer blocktrain"}, [&](hid_t file) { replace_integer(file, "version", 2); });
  edited({"version is 0"}, [&](hid_t file) { replace_integer(file, "version", 0); });
  edited({"step is -1"}, [&](hid_t file) { replace_integer(file, "step", -1); });
  edited({"step is 4294967296"}, [&](hid_t file) { replace_integer(file, "step", max_step + 1); });
  edited({"block is 4;"}, [&](hid_t file) { replace_integer(file, "block", 4); });
  edited({"blocks is 0"}, [&](hid_t file) { replace_integer(file, "blocks", 0); });
  edited({"layers is 0"}, [&](hid_t file) { replace_integer(file, "layers", 0); });
  edited({"no attribute step"}, [&](hid_t file) { drop(file, "step"); });
  edited({"no attribute format"}, [&](hid_t file) { drop(file, "format"); });
  edited({"attribute more"}, [&](hid_t file) { add_integer(file, "more", H5T_STD_I64LE, {}); });
  edited({"step is not a single value"}, [&](hid_t file) {
    drop(file, "step");
    add_integer(file, "step", H5T_STD_I64LE, {1000});
  });
  edited({"step is not a 64-bit integer"}, [&](hid_t file) {
    drop(file, "step");
    add_integer(file, "step", H5T_STD_I32LE, {});
  });
  edited({"seed is not an unsigned"}, [&](hid_t file) {
    drop(file, "seed");
    add_integer(file, "seed", H5T_STD_I64LE, {});
  });
  edited({"experiment is not a string"}, [&](hid_t file) {
    drop(file, "experiment");
    add_integer(file, "experiment", H5T_STD_I64LE, {});
  });
  const auto replace_string = [&](hid_t file, const char* name, const std::string& value, bool variable) {
    drop(file, name);
    const Hdf5Handle type = BLOCKTRAIN_HDF5_OPEN(H5Tcopy(H5T_C_S1), H5Tclose);
    BLOCKTRAIN_HDF5(H5Tset_size(type, variable ? H5T_VARIABLE : value.size()));
    const Hdf5Handle space = BLOCKTRAIN_HDF5_OPEN(H5Screate(H5S_SCALAR), H5Sclose);
    const Hdf5Handle attribute =
        BLOCKTRAIN_HDF5_OPEN(H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    const char* text = value.c_str();
    BLOCKTRAIN_HDF5(H5Awrite(attribute, type, variable ? static_cast<const void*>(&text) : text));
  };
  edited({"its format is \"something\""}, [&](hid_t file) { replace_string(file, "format", "something", false); });
  edited({"format is not a string"}, [&](hid_t file) { replace_string(file, "format", "blocktrain-block", true); });
  edited({"experiment is not 1 to 128 hex digits"},
         [&](hid_t file) { replace_string(file, "experiment", std::string(60000, 'a'), false); });
  edited({"experiment is not 1 to 128 hex digits"},
         [&](hid_t file) { replace_string(file, "experiment", "a\x1b[2J", false); });
  edited({"training is \"sideways\""}, [&](hid_t file) { replace_string(file, "training", "sideways", false); });
}

BOOST_FIXTURE_TEST_CASE(numbers_that_are_none, Fixture) {
  const auto poke = [&](const std::string& name, float value) {
    return [name, value](hid_t file) {
      const Hdf5Handle dataset = BLOCKTRAIN_HDF5_OPEN(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
      std::vector<float> values(12, 0.5f);
      values[7] = value;
      BLOCKTRAIN_HDF5(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
    };
  };
  edited({qkv, "nan", "element 7"}, poke(qkv, std::numeric_limits<float>::quiet_NaN()));
  edited({qkv, "inf", "element 7"}, poke(qkv, std::numeric_limits<float>::infinity()));
  const std::string v = "/optimizer/second_moment/layers.4.attention.qkv.weight";
  edited({v, "-0.25", "element 7"}, poke(v, -0.25f));
}

std::string little_endian(std::uint64_t value, std::size_t width) {
  std::string bytes;
  for (std::size_t i = 0; i < width; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string checksum_of(const std::string& bytes) {
  return little_endian(metadata_checksum(std::as_bytes(std::span(bytes))), 4);
}

BOOST_FIXTURE_TEST_CASE(numbers_that_end_behind_the_file, Fixture) {
  std::uint64_t offset = 0;
  {
    const Hdf5Session session;
    const Hdf5Handle file = BLOCKTRAIN_HDF5_OPEN(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle dataset = BLOCKTRAIN_HDF5_OPEN(H5Dopen2(file, qkv.c_str(), H5P_DEFAULT), H5Dclose);
    offset = H5Dget_offset(dataset);
  }
  const std::string good = read_bytes(path);
  // The piece of its header that has the offset, with the checksum behind it.
  const std::size_t at = good.find(little_endian(offset, 8));
  BOOST_REQUIRE(at != std::string::npos);
  std::size_t begin = 0, end = at + 8;
  for (const char* kind : {"OHDR", "OCHK"}) {
    const std::size_t found = good.rfind(kind, at);
    if (found != std::string::npos) begin = std::max(begin, found);
  }
  while (end + 4 <= good.size() && good.substr(end, 4) != checksum_of(good.substr(begin, end - begin))) ++end;
  BOOST_REQUIRE(end + 4 <= good.size());

  const std::size_t numbers = 6 * 2 * sizeof(float);
  for (const std::uint64_t wrong : {good.size() - numbers + 1, good.size() - 1, good.size(), good.size() + 1}) {
    std::string bytes = good;
    bytes.replace(at, 8, little_endian(wrong, 8));
    bytes.replace(end, 4, checksum_of(bytes.substr(begin, end - begin)));
    write_bytes(path, bytes);
    refused({qkv, "is not stored as one plain piece inside the file"});
  }
}

BOOST_FIXTURE_TEST_CASE(no_such_format, Fixture) {
  const std::string good = read_bytes(path);
  const auto refused_bytes = [&](const std::string& bytes, const char* part) {
    write_bytes(path, bytes);
    refused({part});
    BOOST_CHECK_EXCEPTION(read_block_header(path), InputError, (Mentions{{path.string(), part}}));
  };
  refused_bytes("", "0 bytes");
  refused_bytes("checkpoint", "10 bytes");
  refused_bytes(std::string(100, 'x'), "not an HDF5 file");
  refused_bytes(good.substr(0, good.size() - 1), "it was cut or changed");
  refused_bytes(good + "x", "it was cut or changed");
  {
    // HDF5's oldest format, without checksums.
    const Hdf5Session session;
    BLOCKTRAIN_HDF5_OPEN(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  }
  refused({"superblock version 0"});
  std::filesystem::remove(path);
  BOOST_CHECK_EXCEPTION(read_block_header(path), RunError, (Mentions{{path.string(), "no such file"}}));
  std::filesystem::create_directory(path);
  refused({"not a plain file"});
  std::filesystem::remove(path);
  write_bytes(folder / "other.h5", good);
  std::filesystem::create_symlink("other.h5", path);
  refused({"symbolic link"});
}

}  // namespace
}  // namespace blocktrain::trainer
