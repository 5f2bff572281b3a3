// Resuming, falling back, pruning, cleaning up: what the coordinator does between runs and while one goes on.

#include "trainer/checkpoint/resume.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/manifest_writer.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

constexpr int block_count = 3;

struct Run {
  TemporaryFolder run;
  std::filesystem::path folder = checkpoints_folder(run.path());
  std::vector<blocks::Parameter> parameters = small_parameters();

  ResumePlan plan(bool coupled = false) { return find_resume_points(run.path(), identity_a, block_count, coupled); }
  ManifestWriter writer(bool coupled = false) { return ManifestWriter(run.path(), identity_a, plan(coupled)); }
  CommittedFile commit(int block, std::int64_t step) {
    return commit_block(run.path(), make_header(block, step, block_count), parameters,
                        make_state(parameters, block, step, false).view());
  }
  void commit(ManifestWriter& to, std::initializer_list<std::pair<int, std::int64_t>> all) {
    for (const auto& [block, step] : all) to.add(commit(block, step));
  }
  bool exists(int block, std::int64_t step) { return std::filesystem::exists(folder / block_file_name(block, step)); }
  void damage(int block, std::int64_t step) {
    std::string bytes = read_bytes(folder / block_file_name(block, step));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] + 1);
    write_bytes(folder / block_file_name(block, step), bytes);
  }
};

std::vector<std::int64_t> steps_of(const ResumePlan& plan) {
  std::vector<std::int64_t> steps;
  for (const ResumePoint& point : plan.blocks) {
    BOOST_TEST(point.file.has_value() == (point.step > 0));
    if (point.file) BOOST_TEST(point.file->name == block_file_name(point.block, point.step));
    steps.push_back(point.step);
  }
  return steps;
}

using Steps = std::vector<std::int64_t>;

bool mentions(const std::vector<std::string>& warnings, const std::string& part) {
  for (const std::string& w : warnings) {
    if (w.find(part) != std::string::npos) return true;
  }
  return false;
}

BOOST_FIXTURE_TEST_CASE(nothing_there_is_a_fresh_start, Run) {
  const ResumePlan fresh = plan();
  BOOST_TEST(!fresh.found);
  BOOST_TEST(fresh.warnings.empty());
  BOOST_TEST(steps_of(fresh) == (Steps{0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(!std::filesystem::exists(folder));

  { const ManifestWriter first = writer(); }
  const ResumePlan early = plan();
  BOOST_TEST(early.found);
  BOOST_TEST(steps_of(early) == (Steps{0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(mentions(early.warnings, "block 2 has no usable checkpoint"));
}

BOOST_FIXTURE_TEST_CASE(each_block_resumes_from_its_own_newest, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}, {1, 10}, {0, 20}, {2, 10}, {0, 30}});
  }
  const ResumePlan found = plan();
  BOOST_TEST(found.warnings.empty());
  BOOST_TEST(steps_of(found) == (Steps{30, 10, 10}), boost::test_tools::per_element());
  BOOST_TEST(steps_of(plan(true)) == (Steps{10, 10, 10}), boost::test_tools::per_element());
  State read = make_state(parameters, 0, 0, false);
  const BlockFileHeader header = read_block_file(folder / found.blocks[0].file->name, make_header(0, 30, block_count),
                                                 parameters, read.writable());
  BOOST_TEST(header.step == 30);
  BOOST_TEST((read.parameters == make_state(parameters, 0, 30, false).parameters));
}

/// unlink(2) as it is where a file belongs to somebody else, in a folder in which one may remove only one's own.
int not_permitted(const char*) {
  errno = EPERM;
  return -1;
}

BOOST_FIXTURE_TEST_CASE(a_file_that_cannot_be_removed_stays_with_a_warning, Run) {
  {
    ManifestWriter w(run.path(), identity_a, plan(), not_permitted);
    commit(w, {{0, 10}, {0, 20}, {0, 30}, {1, 10}, {2, 10}});
    const PruneResult pruned = w.prune(2, false);
    BOOST_TEST(pruned.warnings.size() == 1u);
    BOOST_TEST(mentions(pruned.warnings, "cannot remove " + (folder / block_file_name(0, 10)).string()));
    BOOST_TEST(mentions(pruned.warnings, "Operation not permitted"));
    BOOST_TEST(w.prune(2, false).warnings.empty());  // it is no longer named: said once
    commit(w, {{1, 20}});
  }
  BOOST_TEST(exists(0, 10));
  {
    // Nor does it end the next start, which comes upon it again.
    ManifestWriter w(run.path(), identity_a, plan(), not_permitted);
    BOOST_TEST(w.cleaned() == 0);
    BOOST_TEST(w.warnings().size() == 1u);
    BOOST_TEST(mentions(w.warnings(), block_file_name(0, 10)));
  }
  BOOST_TEST(steps_of(plan()) == (Steps{30, 20, 10}), boost::test_tools::per_element());
  const ManifestWriter w = writer();
  BOOST_TEST(w.cleaned() == 1);
  BOOST_TEST(w.warnings().empty());
  BOOST_TEST(!exists(0, 10));
}

BOOST_FIXTURE_TEST_CASE(damaged_or_missing_files_fall_back_and_are_named, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}, {0, 20}, {0, 30}, {1, 10}, {1, 20}, {2, 10}});
  }
  damage(0, 30);
  std::filesystem::remove(folder / block_file_name(0, 20));
  std::filesystem::resize_file(folder / block_file_name(2, 10), 100);
  ResumePlan found = plan();
  BOOST_TEST(steps_of(found) == (Steps{10, 20, 0}), boost::test_tools::per_element());
  BOOST_TEST(found.warnings.size() == 4u);
  BOOST_TEST(mentions(found.warnings, block_file_name(0, 30) + " has SHA-256"));
  BOOST_TEST(mentions(found.warnings, block_file_name(0, 20) + " is missing"));
  BOOST_TEST(mentions(found.warnings, block_file_name(2, 10) + " has 100 bytes instead of"));
  BOOST_TEST(mentions(found.warnings, "block 2 has no usable checkpoint and starts at step 0"));

  // The writer forgets what is trained again, and removes it; the file of the block that starts over stays for now.
  {
    ManifestWriter w = writer();
    BOOST_TEST(w.cleaned() == 1);
    BOOST_TEST(!exists(0, 30));
    BOOST_TEST(exists(2, 10));
    commit(w, {{2, 10}});
  }
  found = plan();
  BOOST_TEST(found.warnings.empty());
  BOOST_TEST(steps_of(found) == (Steps{10, 20, 10}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(coupled_blocks_resume_from_their_newest_common_step, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}, {1, 10}, {2, 10}, {0, 20}, {1, 20}, {2, 20}, {0, 30}, {1, 30}, {0, 40}});
  }
  BOOST_TEST(steps_of(plan(true)) == (Steps{20, 20, 20}), boost::test_tools::per_element());
  damage(1, 20);
  const ResumePlan found = plan(true);
  BOOST_TEST(steps_of(found) == (Steps{10, 10, 10}), boost::test_tools::per_element());
  BOOST_TEST(mentions(found.warnings, block_file_name(1, 20)));
  damage(2, 10);
  const ResumePlan none = plan(true);
  BOOST_TEST(steps_of(none) == (Steps{0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(mentions(none.warnings, "common step"));
  {
    const ManifestWriter w(run.path(), identity_a, none);
    BOOST_TEST(exists(0, 40));
  }
}

BOOST_FIXTURE_TEST_CASE(older_files_go_once_newer_ones_are_verified, Run) {
  ManifestWriter w = writer();
  commit(w, {{0, 10}, {0, 20}, {1, 10}});
  BOOST_TEST(w.prune(2, false).removed == 0);
  commit(w, {{0, 30}, {0, 40}});
  const PruneResult pruned = w.prune(2, false);
  BOOST_TEST(pruned.removed == 2);
  BOOST_TEST(pruned.warnings.empty());
  BOOST_TEST(!exists(0, 10));
  BOOST_TEST(!exists(0, 20));
  BOOST_TEST(exists(0, 30));
  BOOST_TEST(exists(0, 40));
  BOOST_TEST(exists(1, 10));
  BOOST_TEST(w.manifest().blocks[0].size() == 2u);
  BOOST_TEST(steps_of(plan()) == (Steps{40, 10, 0}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(every_block_loses_its_own_older_files, Run) {
  ManifestWriter w = writer();
  for (const int step : {10, 20, 30}) commit(w, {{0, step}, {1, step}, {2, step}});
  BOOST_TEST(w.prune(1, false).removed == 6);
  for (int block = 0; block < 3; ++block) {
    BOOST_TEST(!exists(block, 10));
    BOOST_TEST(!exists(block, 20));
    BOOST_TEST(exists(block, 30));
  }
}

BOOST_FIXTURE_TEST_CASE(a_damaged_newest_file_prunes_nothing, Run) {
  ManifestWriter w = writer();
  commit(w, {{0, 10}, {0, 20}});
  damage(0, 20);
  const PruneResult pruned = w.prune(1, false);
  BOOST_TEST(pruned.removed == 0);
  BOOST_TEST(mentions(pruned.warnings, block_file_name(0, 20)));
  BOOST_TEST(exists(0, 10));
  const ResumePlan found = plan();
  BOOST_TEST(steps_of(found) == (Steps{10, 0, 0}), boost::test_tools::per_element());
  // Both of two kept have to be whole, not the newest alone.
  commit(w, {{0, 20}, {0, 30}});
  damage(0, 20);
  BOOST_TEST(w.prune(2, false).removed == 0);
  BOOST_TEST(exists(0, 10));
  BOOST_TEST(steps_of(plan()) == (Steps{30, 0, 0}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(coupled_blocks_keep_a_common_step, Run) {
  ManifestWriter w = writer(true);
  commit(w, {{0, 10}, {1, 10}, {2, 10}, {0, 20}, {0, 30}, {1, 20}});
  BOOST_TEST(w.prune(1, true).removed == 0);
  BOOST_TEST(steps_of(plan(true)) == (Steps{10, 10, 10}), boost::test_tools::per_element());
  commit(w, {{2, 20}});
  BOOST_TEST(w.prune(1, true).removed == 3);
  BOOST_TEST(exists(0, 30));
  BOOST_TEST(steps_of(plan(true)) == (Steps{20, 20, 20}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(leftovers_of_a_crash_are_cleaned_and_nothing_else, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}});
  }
  commit(1, 10);  // durable, never named
  write_bytes(folder / ".block-0002.step-00000010.h5.tmp-7", "torn");
  write_bytes(folder / ".manifest.json.tmp-0", "torn");
  const std::vector<std::string> kept{"notes.txt", "block-0001.h5", ".hidden.tmp-1", "block-1.step-00000010.h5",
                                      "block-0001.step-00000010.h5.bak"};
  for (const std::string& name : kept) write_bytes(folder / name, "mine");
  write_bytes(run / "outside", "mine");
  std::filesystem::create_symlink(run / "outside", folder / block_file_name(1, 99));
  std::filesystem::create_directory(folder / block_file_name(1, 98));
  const ManifestWriter w = writer();
  BOOST_TEST(w.cleaned() == 3);
  BOOST_TEST(!exists(1, 10));
  BOOST_TEST(files_aside(folder) == 1);  // .hidden.tmp-1
  for (const std::string& name : kept) BOOST_TEST(read_bytes(folder / name) == "mine");
  BOOST_TEST(read_bytes(run / "outside") == "mine");
  BOOST_TEST(exists(1, 98));
}

BOOST_FIXTURE_TEST_CASE(a_fallen_back_manifest_is_repaired, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}, {0, 20}});
  }
  write_bytes(folder / "manifest.json", "{");
  const ResumePlan found = plan();
  BOOST_TEST(steps_of(found) == (Steps{10, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(mentions(found.warnings, "manifest.json"));
  { const ManifestWriter w(run.path(), identity_a, found); }
  BOOST_TEST(!mentions(plan().warnings, "manifest.json"));
  write_bytes(folder / "manifest.json", "{");
  BOOST_TEST(steps_of(plan()) == (Steps{10, 0, 0}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(links_in_place_of_checkpoints_are_refused, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}, {0, 20}});
  }
  std::filesystem::rename(folder / block_file_name(0, 20), run / "elsewhere.h5");
  std::filesystem::create_symlink(run / "elsewhere.h5", folder / block_file_name(0, 20));
  BOOST_CHECK_EXCEPTION(plan(), InputError, (Mentions{{block_file_name(0, 20), "symbolic link"}}));
  std::filesystem::remove(folder / block_file_name(0, 20));
  BOOST_REQUIRE(::mkfifo((folder / block_file_name(0, 20)).c_str(), 0600) == 0);
  BOOST_CHECK_EXCEPTION(plan(), InputError, (Mentions{{block_file_name(0, 20), "not a plain file"}}));
}

BOOST_FIXTURE_TEST_CASE(the_writer_takes_only_what_belongs_here, Run) {
  ManifestWriter w = writer();
  const std::string before = read_bytes(folder / "manifest.json");
  CommittedFile file = commit(0, 10);
  CommittedFile foreign = file;
  foreign.block = 3;
  foreign.name = block_file_name(3, 10);
  BOOST_CHECK_THROW(w.add(foreign), RunError);
  foreign = file;
  foreign.name = "../" + file.name;
  BOOST_CHECK_THROW(w.add(foreign), RunError);
  foreign = file;
  foreign.sha256 = "abc";
  BOOST_CHECK_THROW(w.add(foreign), RunError);
  foreign = file;
  foreign.step = -1;
  BOOST_CHECK_THROW(w.add(foreign), RunError);
  // Neither among others.
  const std::vector<CommittedFile> mixed{file, foreign};
  BOOST_CHECK_THROW(w.add(mixed), RunError);
  BOOST_TEST(read_bytes(folder / "manifest.json") == before);
  BOOST_TEST(w.manifest().blocks[0].empty());
  const std::vector<CommittedFile> twice_with_another{file, commit(1, 20), commit(0, 5), file};
  w.add(twice_with_another);
  BOOST_TEST(w.manifest().blocks[0].size() == 2u);
  BOOST_TEST(w.manifest().blocks[0].front().step == 10);
  BOOST_TEST(w.manifest().blocks[1].size() == 1u);
  w.prune(1, false);
  w.add(file);
  w.add(file);
  BOOST_TEST(w.manifest().blocks[0].size() == 1u);
  BOOST_CHECK_EXCEPTION(ManifestWriter(run.path(), identity_b, plan()), InputError, Mentions{{"another run"}});
}

BOOST_FIXTURE_TEST_CASE(another_experiment_is_refused_before_anything_changes, Run) {
  {
    ManifestWriter w = writer();
    commit(w, {{0, 10}});
  }
  const std::string before = read_bytes(folder / "manifest.json");
  BOOST_CHECK_EXCEPTION(find_resume_points(run.path(), identity_b, block_count, false), InputError,
                        (Mentions{{identity_a, identity_b, "config.yaml"}}));
  BOOST_CHECK_THROW(ManifestWriter(run.path(), identity_b, plan()), InputError);
  BOOST_TEST(read_bytes(folder / "manifest.json") == before);
  BOOST_TEST(exists(0, 10));
}

}  // namespace
}  // namespace blocktrain::trainer
