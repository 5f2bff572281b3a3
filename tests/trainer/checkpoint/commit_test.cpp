// Commits: durable files appear whole or not at all, whatever the disk, the limits and the permissions say.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <future>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/support/durable_file.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

/// One parameter of `elements` numbers.
std::vector<blocks::Parameter> one_parameter(std::int64_t elements) {
  blocks::Parameter p;
  p.name = "weight";
  p.shape = {elements};
  p.size = elements;
  return {p};
}

BOOST_AUTO_TEST_CASE(a_commit_says_what_it_wrote) {
  const TemporaryFolder run;
  create_checkpoints_folder(run.path());
  create_checkpoints_folder(run.path());
  const auto parameters = small_parameters();
  CommittedFile file;
  std::async(std::launch::async, [&] {
    file = commit_block(run.path(), make_header(2, 300), parameters, make_state(parameters, 2, 300, false).view());
  }).get();
  BOOST_TEST(file.name == "block-0002.step-00000300.h5");
  BOOST_TEST(file.block == 2);
  BOOST_TEST(file.step == 300);
  const std::string bytes = read_bytes(checkpoints_folder(run.path()) / file.name);
  BOOST_TEST(file.bytes == bytes.size());
  BOOST_TEST(file.sha256 == sha256_hex(bytes));
  BOOST_TEST(!find_damage(checkpoints_folder(run.path()), file).has_value());
  BOOST_TEST(files_aside(checkpoints_folder(run.path())) == 0);
}

BOOST_AUTO_TEST_CASE(ranks_write_aside_under_names_of_their_own) {
  std::string target;
  BOOST_TEST(DurableFile::aside_name("a", 3) != DurableFile::aside_name("a", 4));
  BOOST_TEST(DurableFile::aside_name("a", -1) == DurableFile::aside_name("a", 0));  // without ranks
  BOOST_TEST(DurableFile::is_aside_name(DurableFile::aside_name("a", 3), target));
  BOOST_TEST(target == "a");
}

BOOST_AUTO_TEST_CASE(digests_are_sha256) {
  BOOST_TEST(sha256_hex(std::string_view("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  BOOST_TEST(sha256_hex(std::string_view()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

BOOST_AUTO_TEST_CASE(a_leftover_is_replaced_not_written_through) {
  const TemporaryFolder run;
  create_checkpoints_folder(run.path());
  const auto folder = checkpoints_folder(run.path());
  const auto parameters = small_parameters();
  write_bytes(run / "victim", "precious");
  const std::string aside = DurableFile::aside_name(block_file_name(0, 1), process_rank());
  std::filesystem::create_symlink(run / "victim", folder / aside);
  commit_block(run.path(), make_header(0, 1), parameters, make_state(parameters, 0, 1, false).view());
  BOOST_TEST(read_bytes(run / "victim") == "precious");
  BOOST_TEST(files_aside(folder) == 0);
}

BOOST_AUTO_TEST_CASE(an_abandoned_file_leaves_nothing) {
  const TemporaryFolder folder;
  write_bytes(folder / "target", "old");
  {
    DurableFile file(folder / "target", 6);
    file.write(std::as_bytes(std::span("new", 3)));
    BOOST_TEST(files_aside(folder.path()) == 1);
  }
  BOOST_TEST(files_aside(folder.path()) == 0);
  BOOST_TEST(read_bytes(folder / "target") == "old");
}

/// A folder on a file system of 256 kB.
struct SmallDisk {
  TemporaryFolder run;
  bool mounted = ::mount("tmpfs", run.path().c_str(), "tmpfs", 0, "size=256k") == 0;
  ~SmallDisk() {
    if (mounted) ::umount2(run.path().c_str(), MNT_DETACH);
  }
  bool missing() const {
    if (!mounted) BOOST_TEST_MESSAGE("SKIPPED: mounting a small file system needs root");
    return !mounted;
  }
  std::uint64_t available() const {
    struct statvfs space {};
    BOOST_REQUIRE(::statvfs(run.path().c_str(), &space) == 0);
    return std::uint64_t{space.f_bavail} * space.f_frsize;
  }
};

BOOST_FIXTURE_TEST_CASE(a_full_disk_is_named_with_its_numbers, SmallDisk) {
  if (missing()) return;
  create_checkpoints_folder(run.path());
  const auto folder = checkpoints_folder(run.path());
  const auto parameters = one_parameter(8000);  // 96 kB of numbers
  const State state = make_state(parameters, 0, 1, false);
  const CommittedFile first = commit_block(run.path(), make_header(0, 1), parameters, state.view());
  const CommittedFile second = commit_block(run.path(), make_header(0, 2), parameters, state.view());
  // What the file aside has taken by then counts as available: it is given back.
  const std::string available = std::to_string(this->available());
  for (int attempt = 0; attempt < 3; ++attempt) {
    BOOST_CHECK_EXCEPTION(
        commit_block(run.path(), make_header(0, 3), parameters, state.view()), RunError,
        (Mentions{{(folder / "block-0000.step-00000003.h5").string(), "No space left", "it needs",
                   std::to_string(second.bytes), available, "are available", "Older checkpoints are as they were"}}));
    BOOST_TEST(files_aside(folder) == 0);
    BOOST_TEST(!std::filesystem::exists(folder / block_file_name(0, 3)));
    BOOST_TEST(!find_damage(folder, first).has_value());
    BOOST_TEST(!find_damage(folder, second).has_value());
  }
  // HDF5 is in order afterwards, and so is the folder once there is room.
  std::filesystem::remove(folder / first.name);
  const CommittedFile third = commit_block(run.path(), make_header(0, 3), parameters, state.view());
  BOOST_TEST(!find_damage(folder, third).has_value());
}

BOOST_FIXTURE_TEST_CASE(what_a_file_has_taken_so_far_is_available, SmallDisk) {
  if (missing()) return;
  const std::string before = readable_bytes(available());
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit old {};
  BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  {
    const std::vector<std::byte> numbers(100000);
    DurableFile file(run / "growing", numbers.size());
    BOOST_TEST(readable_bytes(available()) != before);  // reserved
    struct rlimit low = old;
    low.rlim_cur = 50000;
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
    BOOST_CHECK_EXCEPTION(file.write(numbers), RunError,
                          (Mentions{{"growing", "it needs", "100000 bytes", before + " are available"}}));
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  }
  std::signal(SIGXFSZ, old_handler);
  BOOST_TEST(readable_bytes(available()) == before);
}

BOOST_AUTO_TEST_CASE(a_limit_of_file_sizes_is_an_error_not_a_signal) {
  const TemporaryFolder run;
  create_checkpoints_folder(run.path());
  const auto parameters = one_parameter(100000);
  const State state = make_state(parameters, 0, 1, false);
  struct rlimit old {};
  BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  struct rlimit low = old;
  low.rlim_cur = 300000;
  BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  BOOST_CHECK_EXCEPTION(commit_block(run.path(), make_header(0, 1), parameters, state.view()), RunError,
                        (Mentions{{"block-0000.step-00000001.h5", "it needs", "300000 bytes", "ulimit"}}));
  // Past that check, with the signal ignored, the system's own error comes through the same way.
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  low.rlim_cur = 5000;
  {
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
    DurableFile file(run / "growing", 5);
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
    BOOST_CHECK_EXCEPTION(DurableFile(run / "big", 6000), RunError, (Mentions{{"big", "it needs"}}));
  }
  BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, old_handler);
  BOOST_TEST(files_aside(run.path()) == 0);
  BOOST_TEST(files_aside(checkpoints_folder(run.path())) == 0);
  commit_block(run.path(), make_header(0, 1), parameters, state.view());
}

BOOST_AUTO_TEST_CASE(a_folder_that_may_not_be_written_is_named) {
  const TemporaryFolder run;
  create_checkpoints_folder(run.path());
  const auto folder = checkpoints_folder(run.path());
  const auto parameters = small_parameters();
  const State state = make_state(parameters, 0, 1, false);
  commit_block(run.path(), make_header(0, 1), parameters, state.view());
  std::filesystem::permissions(run.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(folder, std::filesystem::perms(0555));
  constexpr uid_t nobody = 65534;
  const bool root = ::geteuid() == 0;
  if (root) BOOST_REQUIRE(::seteuid(nobody) == 0);
  BOOST_CHECK_EXCEPTION(commit_block(run.path(), make_header(0, 2), parameters, state.view()), RunError,
                        (Mentions{{(folder / block_file_name(0, 2)).string(), "Permission denied", "it needs",
                                   "Older checkpoints are as they were"}}));
  if (root) BOOST_REQUIRE(::seteuid(0) == 0);
  std::filesystem::permissions(folder, std::filesystem::perms(0755));
  BOOST_TEST(std::filesystem::exists(folder / block_file_name(0, 1)));
  BOOST_TEST(files_aside(folder) == 0);

  std::filesystem::remove_all(folder);
  BOOST_CHECK_EXCEPTION(commit_block(run.path(), make_header(0, 2), parameters, state.view()), RunError,
                        (Mentions{{"block-0000.step-00000002.h5", "is gone"}}));
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_none_is_refused) {
  const TemporaryFolder run, elsewhere;
  std::filesystem::create_directory_symlink(elsewhere.path(), checkpoints_folder(run.path()));
  BOOST_CHECK_EXCEPTION(create_checkpoints_folder(run.path()), InputError,
                        (Mentions{{"checkpoints", "symbolic link", "log.directory"}}));
  std::filesystem::remove(checkpoints_folder(run.path()));
  write_bytes(checkpoints_folder(run.path()), "a file");
  BOOST_CHECK_EXCEPTION(create_checkpoints_folder(run.path()), InputError, (Mentions{{"checkpoints", "not a folder"}}));
}

}  // namespace
}  // namespace blocktrain::trainer
