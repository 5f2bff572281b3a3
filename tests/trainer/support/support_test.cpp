// Files that appear whole, lists in words, the limit of address space.

#include "tests/trainer/train/support.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/support/address_space.hpp"
#include "trainer/support/atomic_file.hpp"
#include "trainer/support/sha256.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

namespace fs = std::filesystem;

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A target with an old file in it.
struct Target {
  TemporaryFolder folder;
  std::string target = folder.path("file"), aside = folder.path(".file.aside");
  Target() { std::ofstream(target) << "old"; }
  void write(AtomicFile& file, std::string_view text) {
    auto data = std::as_bytes(std::span(text));
    while (!data.empty()) {
      std::size_t done = 0;
      BOOST_REQUIRE(file.write_some(data, done) == 0);
      data = data.subspan(done);
    }
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(files, Target)

BOOST_AUTO_TEST_CASE(a_file_is_the_old_one_until_it_is_renamed) {
  AtomicFile file(target, aside);
  BOOST_TEST(file.remove_leftover() == 0);  // there is none
  BOOST_TEST(file.create() == 0);
  write(file, "new");
  BOOST_TEST(file.sync() == 0);
  BOOST_TEST(file.close() == 0);
  BOOST_TEST(contents(target) == "old");
  BOOST_TEST(contents(aside) == "new");
  BOOST_TEST(file.rename() == 0);
  BOOST_TEST(contents(target) == "new");
  BOOST_TEST(!fs::exists(aside));
}

BOOST_AUTO_TEST_CASE(what_is_not_renamed_is_removed) {
  {
    AtomicFile file(target, aside);
    BOOST_TEST(file.create() == 0);
    write(file, "new");
  }
  BOOST_TEST(contents(target) == "old");
  BOOST_TEST(!fs::exists(aside));
}

BOOST_AUTO_TEST_CASE(a_leftover_is_replaced_and_nothing_is_written_through_a_link) {
  fs::create_symlink(target, aside);
  {
    AtomicFile file(target, aside);
    BOOST_TEST(file.create() == EEXIST);
    BOOST_TEST(!file.open());
  }
  BOOST_TEST(fs::is_symlink(aside));  // not its own
  AtomicFile file(target, aside);
  BOOST_TEST(file.remove_leftover() == 0);
  BOOST_TEST(file.create() == 0);
  write(file, "new");
  BOOST_TEST(contents(target) == "old");
}

BOOST_AUTO_TEST_CASE(what_the_system_refuses_is_an_errno) {
  AtomicFile nowhere(folder.path("no/file"), folder.path("no/.file"));
  BOOST_TEST(nowhere.create() == ENOENT);
  AtomicFile file(folder.path(""), aside);  // a folder has that name
  BOOST_TEST(file.create() == 0);
  BOOST_TEST(file.rename() != 0);
  std::size_t done = 1;
  BOOST_TEST(file.close() == 0);
  BOOST_TEST(file.write_some(std::as_bytes(std::span("x", 1)), done) == EBADF);
  BOOST_TEST(done == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(lists_in_words) {
  BOOST_TEST(join(std::vector<int>{}) == "");
  BOOST_TEST(join(std::vector<int>{7}) == "7");
  BOOST_TEST(join(std::vector<std::string>{"a", "b", "c"}) == "a, b, c");
  BOOST_TEST(join(std::vector<double>{0.5, 80}, ",") == "0.5,80");
}

BOOST_AUTO_TEST_CASE(digests_are_those_of_the_standard) {
  BOOST_TEST(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  Sha256 pieces;
  pieces.update(std::as_bytes(std::span("a", 1)));
  pieces.update(std::as_bytes(std::span("bc", 2)));
  BOOST_TEST(pieces.hex() == sha256_hex("abc"));
}

BOOST_AUTO_TEST_CASE(a_limit_of_address_space_is_seen) {
  BOOST_TEST(address_space_mapped().value_or(0) > 0);
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit limit{std::size_t{1} << 42, std::size_t{1} << 42};
    const bool seen = setrlimit(RLIMIT_AS, &limit) == 0 && address_space_limit() == std::int64_t{1} << 42;
    _exit(seen ? 0 : 1);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

}  // namespace blocktrain::trainer
