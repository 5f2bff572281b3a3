// Block files: what is written is read, equal state gives equal bytes, and standard tools read them.

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/hdf5_file.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

void check_round_trip(const std::vector<blocks::Parameter>& parameters, bool average) {
  const TemporaryFolder folder;
  const State state = make_state(parameters, 1, 1200, average);
  BlockFileHeader header = make_header(1, 1200);
  const WrittenFile written = write_block_file(folder / "block.h5", header, parameters, state.view());
  const std::string bytes = read_bytes(folder / "block.h5");
  BOOST_TEST(written.bytes == bytes.size());
  BOOST_TEST(written.sha256 == sha256_hex(bytes));

  State read = blank_state(parameters, average);
  const BlockFileHeader found = read_block_file(folder / "block.h5", header, parameters, read.writable());
  BOOST_TEST(found.average == average);
  std::size_t padding = 0;
  for (std::size_t i = 0; i < read.parameters.size(); ++i) {
    bool covered = false;
    for (const blocks::Parameter& p : parameters) {
      const auto at = static_cast<std::int64_t>(i);
      covered = covered || (at >= p.offset && at < p.offset + p.size);
    }
    if (!covered) {
      ++padding;
      BOOST_TEST(read.parameters[i] == -77.0f);
      BOOST_TEST(read.second_moment[i] == -77.0f);
      continue;
    }
    BOOST_TEST(read.parameters[i] == state.parameters[i]);
    BOOST_TEST(read.first_moment[i] == state.first_moment[i]);
    BOOST_TEST(read.second_moment[i] == state.second_moment[i]);
    if (average) BOOST_TEST(read.average[i] == state.average[i]);
  }
  BOOST_TEST(padding > 0u);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  check_round_trip(small_parameters(), false);
  check_round_trip(small_parameters(), true);
  check_round_trip(many_parameters(300), true);
}

BOOST_AUTO_TEST_CASE(the_header_is_read) {
  const TemporaryFolder folder;
  const auto parameters = small_parameters();
  BlockFileHeader header = make_header(3, max_step);
  header.training = TrainingMode::end_to_end;
  write_block_file(folder / "block.h5", header, parameters, make_state(parameters, 3, 5, true).view());
  const BlockFileHeader found = read_block_header(folder / "block.h5");
  BOOST_TEST(found.block == 3);
  BOOST_TEST(found.blocks == 4);
  BOOST_TEST(found.step == max_step);
  BOOST_TEST(found.seed == 0x8000000000000001u);
  BOOST_TEST(found.experiment == identity_a);
  BOOST_TEST((found.training == TrainingMode::end_to_end));
  BOOST_TEST(found.first_layer == 9);
  BOOST_TEST(found.layers == 3);
  BOOST_TEST(found.average);
}

BOOST_AUTO_TEST_CASE(only_wanted_tensors_are_read) {
  const TemporaryFolder folder;
  const auto parameters = small_parameters();
  const State state = make_state(parameters, 0, 9, true);
  write_block_file(folder / "block.h5", make_header(0, 9), parameters, state.view());
  std::vector<float> average(flat_size(parameters));
  BlockFileHeader any_step = make_header(0, -1);
  read_block_file(folder / "block.h5", any_step, parameters,
                  {.parameters = {}, .first_moment = {}, .second_moment = {}, .average = average});
  BOOST_TEST(average == state.average, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(equal_state_gives_equal_bytes) {
  const TemporaryFolder folder;
  for (const auto& parameters : {small_parameters(), many_parameters(300)}) {
    const State state = make_state(parameters, 2, 40, true);
    const WrittenFile first = write_block_file(folder / "first.h5", make_header(2, 40), parameters, state.view());
    // Other memory, another thread, a later second, HDF5 used in between: none of it may show.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    write_block_file(folder / "between.h5", make_header(0, 1), small_parameters(),
                     make_state(small_parameters(), 0, 1, false).view());
    WrittenFile second;
    std::async(std::launch::async, [&] {
      const State again = make_state(parameters, 2, 40, true);
      second = write_block_file(folder / "second.h5", make_header(2, 40), parameters, again.view());
    }).get();
    BOOST_TEST(first.sha256 == second.sha256);
    BOOST_TEST((read_bytes(folder / "first.h5") == read_bytes(folder / "second.h5")));

    const WrittenFile other = write_block_file(folder / "other.h5", make_header(2, 41), parameters, state.view());
    BOOST_TEST(other.sha256 != first.sha256);
  }
}

BOOST_AUTO_TEST_CASE(no_object_has_a_time_stamp) {
  const TemporaryFolder folder;
  const auto parameters = small_parameters();
  write_block_file(folder / "block.h5", make_header(0, 1), parameters, make_state(parameters, 0, 1, true).view());
  const Hdf5Session session;
  const Hdf5Handle file =
      BLOCKTRAIN_HDF5_OPEN(H5Fopen((folder / "block.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  std::vector<std::string> objects{"/", "/parameters", "/optimizer", "/optimizer/first_moment", "/average"};
  for (const blocks::Parameter& p : parameters) objects.push_back("/optimizer/second_moment/" + p.name);
  for (const std::string& name : objects) {
    const Hdf5Handle object = BLOCKTRAIN_HDF5_OPEN(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose);
    H5O_info_t info;
#if H5_VERSION_GE(1, 12, 0)
    BLOCKTRAIN_HDF5(H5Oget_info3(object, &info, H5O_INFO_TIME));
#else
    BLOCKTRAIN_HDF5(H5Oget_info2(object, &info, H5O_INFO_TIME));
#endif
    BOOST_TEST(info.mtime == 0, name);
    BOOST_TEST(info.ctime == 0, name);
  }
}

BOOST_AUTO_TEST_CASE(a_call_of_hdf5_that_fails_is_an_error_with_its_words) {
  const Hdf5Session session;
  BOOST_CHECK_EXCEPTION(BLOCKTRAIN_HDF5(H5Fclose(-1)), LibraryError, (Mentions{{"H5Fclose(-1)", "H5Fclose: "}}));
}

BOOST_AUTO_TEST_CASE(threads_write_and_read_at_once) {
  const TemporaryFolder folder;
  const auto parameters = small_parameters();
  std::vector<std::future<void>> threads;
  std::vector<int> good(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::async(std::launch::async, [&, t] {
      const auto path = folder / ("block" + std::to_string(t) + ".h5");
      for (int step = 1; step <= 20; ++step) {
        const State state = make_state(parameters, t, step, false);
        write_block_file(path, make_header(t, step), parameters, state.view());
        State read = make_state(parameters, t, 0, false);
        read_block_file(path, make_header(t, step), parameters, read.writable());
        good[static_cast<std::size_t>(t)] +=
            read.parameters == state.parameters && read.second_moment == state.second_moment;
      }
    }));
  }
  for (std::future<void>& thread : threads) thread.get();
  for (const int count : good) BOOST_TEST(count == 20);
}

BOOST_AUTO_TEST_CASE(names_say_block_and_step) {
  BOOST_TEST(block_file_name(3, 1200) == "block-0003.step-00001200.h5");
  BOOST_TEST(block_file_name(12345, 4294967295) == "block-12345.step-4294967295.h5");
  for (const auto& [block, step] :
       {std::pair(0, std::int64_t{0}), std::pair(3, std::int64_t{1200}), std::pair(12345, max_step)}) {
    const auto parsed = parse_block_file_name(block_file_name(block, step));
    BOOST_REQUIRE(parsed.has_value());
    BOOST_TEST(parsed->first == block);
    BOOST_TEST(parsed->second == step);
  }
  for (const char* name :
       {"", "block-0003.step-00001200", "block-3.step-00001200.h5", "block-0003.step-1200.h5",
        "block-0003.step-00001200.h5x", "block--003.step-00001200.h5", "../block-0003.step-00001200.h5",
        "block-0003.step-99999999999999999999.h5", "block-99999999.step-00000001.h5", "manifest.json"}) {
    BOOST_TEST(!parse_block_file_name(name).has_value(), name);
  }
}

BOOST_AUTO_TEST_CASE(no_training_goes_on_from_such_numbers) {
  const TemporaryFolder folder;
  const auto parameters = small_parameters();
  State state = make_state(parameters, 0, 1, true);
  write_block_file(folder / "block.h5", make_header(0, 1), parameters, state.view());
  const std::string before = read_bytes(folder / "block.h5");
  const auto at = static_cast<std::size_t>(parameters[1].offset + 5);
  const auto refused = [&](std::vector<float>& values, float value, const char* name) {
    const float old = std::exchange(values[at], value);
    BOOST_CHECK_EXCEPTION(write_block_file(folder / "block.h5", make_header(0, 1), parameters, state.view()), RunError,
                          (Mentions{{"block.h5", name, "layers.4.attention.qkv.weight", "element 5"}}));
    values[at] = old;
  };
  refused(state.parameters, std::numeric_limits<float>::quiet_NaN(), "/parameters");
  refused(state.parameters, std::numeric_limits<float>::infinity(), "/parameters");
  refused(state.first_moment, -std::numeric_limits<float>::infinity(), "/optimizer/first_moment");
  refused(state.second_moment, -1e-30f, "/optimizer/second_moment");
  refused(state.average, std::numeric_limits<float>::quiet_NaN(), "/average");
  BOOST_TEST((read_bytes(folder / "block.h5") == before));
  BOOST_TEST(files_aside(folder.path()) == 0);
}

int run(const std::string& command) { return std::system((command + " > /dev/null").c_str()); }

BOOST_AUTO_TEST_CASE(standard_tools_read_block_files) {
  if (std::string(BLOCKTRAIN_H5DIFF).empty() || std::string(BLOCKTRAIN_H5DUMP).empty()) {
    BOOST_TEST_MESSAGE("SKIPPED: h5diff and h5dump are not installed");
    return;
  }
  const TemporaryFolder folder;
  const auto parameters = many_parameters(50);
  State state = make_state(parameters, 0, 1, true);
  write_block_file(folder / "a.h5", make_header(0, 1), parameters, state.view());
  write_block_file(folder / "b.h5", make_header(0, 1), parameters, state.view());
  state.first_moment[0] += 1;
  write_block_file(folder / "c.h5", make_header(0, 1), parameters, state.view());
  const std::string a = (folder / "a.h5").string(), b = (folder / "b.h5").string(), c = (folder / "c.h5").string();
  BOOST_TEST(run(std::string(BLOCKTRAIN_H5DUMP) + " " + a) == 0);
  BOOST_TEST(run(std::string(BLOCKTRAIN_H5DIFF) + " " + a + " " + b) == 0);
  BOOST_TEST(run(std::string(BLOCKTRAIN_H5DIFF) + " " + a + " " + c) != 0);
}

}  // namespace
}  // namespace blocktrain::trainer
