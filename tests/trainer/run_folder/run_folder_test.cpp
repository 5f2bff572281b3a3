// A RUN folder outlives its program, its owner's session and the loss of some of its files.

#include "trainer/run_folder/run_folder.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/error.hpp"
#include "tests/trainer/train/support.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/ledger/totals.hpp"
#include "trainer/run_folder/run_remains.hpp"
#include "trainer/support/stop_signal.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::final_digests;
using testing::TemporaryFolder;
using testing::train_small;

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Standard error of `action`.
std::string said(const std::function<void()>& action) {
  std::fflush(stderr);
  std::FILE* const file = std::tmpfile();
  const int kept = dup(STDERR_FILENO);
  BOOST_REQUIRE(file != nullptr && kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
  const auto restore = [&] {
    std::fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
  };
  try {
    action();
  } catch (...) {
    restore();
    std::fclose(file);
    throw;
  }
  restore();
  std::rewind(file);
  std::string text;
  for (int c = 0; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  std::fclose(file);
  BOOST_TEST_MESSAGE(text);
  return text;
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

auto says(const std::string& part) {
  return [part](const std::exception& e) {
    BOOST_TEST_MESSAGE(e.what());
    return mentions(e.what(), part);
  };
}

std::vector<std::int64_t> steps_of(const std::string& run) {
  std::vector<std::int64_t> steps;
  const Json manifest = Json::parse(content(run + "/checkpoints/manifest.json"));
  for (const Json& block : manifest.at("blocks")) steps.push_back(block.at("files").at(0).at("step"));
  return steps;
}

using Steps = std::vector<std::int64_t>;

int train_config(const std::string& config, std::vector<std::string> overrides) {
  TrainArguments arguments;
  arguments.config = config;
  arguments.overrides = std::move(overrides);
  arguments.resume = true;
  arguments.quiet = true;
  return train_command(arguments);
}

/// Commands of a user on a trained run, few and small.
EvalArguments small_eval(const std::string& run) {
  EvalArguments a;
  a.run = run;
  a.overrides = {"eval.images=8", "eval.samples=10", "eval.steps=[4]", "parallel.device=cpu"};
  return a;
}
GenerateArguments small_picture(const std::string& run, const std::string& out) {
  GenerateArguments a;
  a.run = run;
  a.out = out;
  a.count = 4;
  a.steps = 4;
  a.overrides = {"parallel.device=cpu"};
  return a;
}
ExportArguments small_export(const std::string& run, const std::string& out) {
  ExportArguments a;
  a.run = run;
  a.out = out;
  return a;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_longer_and_a_shorter_budget_go_on) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);  // 12 steps, the decay follows them
  const std::string identity = Json::parse(content(run + "/checkpoints/manifest.json")).at("experiment");

  std::string words = said([&] { BOOST_REQUIRE_EQUAL(train_small(run, 1, {"budget.steps=15"}, true), 0); });
  BOOST_TEST((steps_of(run) == Steps{15, 15, 15, 15}));
  BOOST_TEST(mentions(words, "falls until step 15, and fell until step 12"));
  BOOST_TEST(mentions(words, "--set optimizer.decay_steps=12"));
  BOOST_TEST(load_run_config(run).budget.steps == 15);
  BOOST_TEST(Json::parse(content(run + "/checkpoints/manifest.json")).at("experiment") == identity);

  const auto longest = final_digests(run);
  words = said([&] { BOOST_REQUIRE_EQUAL(train_small(run, 1, {"budget.steps=10"}, true), 0); });
  BOOST_TEST(mentions(words, "beyond budget.steps 10"));
  BOOST_TEST(final_digests(run) == longest, boost::test_tools::per_element());
  // And on from there, by the budget of the last time or by another.
  BOOST_REQUIRE_EQUAL(train_small(run, 2, {"budget.steps=17"}, true), 0);
  BOOST_TEST((steps_of(run) == Steps{17, 17, 17, 17}));
  // Evaluation reads the run by its own config, whose decay is not the one it began with.
  BOOST_TEST(eval_command(small_eval(run)) == 0);
  BOOST_TEST(Json::parse(content(run + "/eval.json")).at("run").at("experiment") == identity);
}

BOOST_AUTO_TEST_CASE(a_budget_changed_half_way_trains_what_the_new_schedule_says) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  const auto stop = [](OwnedBlock& block, std::int64_t step) {
    if (block.block == 0 && step == 6) request_stop();
  };
  BOOST_REQUIRE_EQUAL(train_small(run, 4, {}, false, stop), 75);
  BOOST_REQUIRE_EQUAL(train_small(run, 4, {"budget.steps=20"}, true), 0);
  for (const std::string& line : testing::lines(run + "/ledger.jsonl")) {
    const Json row = Json::parse(line);
    // Half a cosine to step 20 is not yet down where the one to step 12 ended.
    if (row.at("type") == "step" && row.at("step") == 12) BOOST_TEST(row.at("learning_rate").get<double>() > 3e-4);
  }
}

BOOST_AUTO_TEST_CASE(a_decay_in_numbers_is_kept) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1, {"optimizer.decay_steps=12"}), 0);
  const std::string words = said([&] {
    BOOST_REQUIRE_EQUAL(train_small(run, 1, {"optimizer.decay_steps=12", "budget.steps=14"}, true), 0);
  });
  BOOST_TEST(!mentions(words, "decay_steps"));
  BOOST_CHECK_EXCEPTION(train_small(run, 1, {"budget.steps=16"}, true), InputError,
                        says("optimizer.decay_steps: 12 in the run, -1 (budget.steps, 16) now"));
}

BOOST_AUTO_TEST_CASE(what_differs_is_named_and_nothing_else) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  const auto check = [&](const std::vector<std::string>& overrides, const std::string& list) {
    BOOST_CHECK_EXCEPTION(train_small(run, 1, overrides, true), InputError, [&](const InputError& e) {
      const std::string text = e.what();
      const std::string head = "What differs:";
      BOOST_TEST_MESSAGE(text);
      return text.find(head) != std::string::npos && text.substr(text.find(head) + head.size()) == list;
    });
  };
  check({"data.format=idx", "model.width=32"}, "\n  model.width: 16 in the run, 32 now");
  check({"blocks.count=2"}, "\n  blocks.count: 4 in the run, 2 now");
  check({"seed=3", "parallel.ranks=0"}, "\n  seed: 0 in the run, 3 now");
  BOOST_TEST(train_small(run, 1, {"data.format=idx", "blocks.layers=[1, 1, 1, 1]"}, true) == 0);
}

BOOST_AUTO_TEST_CASE(modes_follow_the_umask) {
  for (const mode_t mask : {mode_t{0002}, mode_t{0077}, mode_t{0022}}) {
    BOOST_TEST_CONTEXT("umask " << std::oct << mask) {
      const TemporaryFolder folder;
      const mode_t before = umask(mask);
      const std::string run = folder.path("new/run");
      fs::create_directory(folder.path("new"));
      int code = train_small(run, 1);
      code = std::max(code, train_small(run, 1, {"budget.steps=14"}, true));
      code = std::max(code, eval_command(small_eval(run)));
      code = std::max(code, generate_command(small_picture(run, "")));
      code = std::max(code, export_command(small_export(run, "")));
      umask(before);
      BOOST_REQUIRE_EQUAL(code, 0);
      int files = 0;
      for (const auto& entry : fs::recursive_directory_iterator(run)) {
        struct stat status {};
        BOOST_REQUIRE(stat(entry.path().c_str(), &status) == 0);
        const mode_t full = entry.is_directory() ? 0777 : 0666;
        BOOST_TEST((status.st_mode & 0777) == (full & ~mask), entry.path());
        ++files;
      }
      BOOST_TEST(files >= 18);  // config, data, ledger, lock, checkpoints, manifests, eval.json, a picture, an export
    }
  }
}

BOOST_AUTO_TEST_CASE(a_config_in_a_run_folder_means_that_folder) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run"), copy = folder.path("copy");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  fs::copy(run, copy, fs::copy_options::recursive);
  const auto original = final_digests(run);
  const std::string ledger = content(run + "/ledger.jsonl");
  BOOST_REQUIRE_EQUAL(train_config(copy + "/config.yaml", {"budget.steps=14"}), 0);
  BOOST_TEST((steps_of(copy) == Steps{14, 14, 14, 14}));
  BOOST_TEST(final_digests(run) == original, boost::test_tools::per_element());
  BOOST_TEST(content(run + "/ledger.jsonl") == ledger);
  BOOST_TEST(load_run_config(copy).log.directory == copy);
  // The command line has the last word, and a config elsewhere says what it says.
  BOOST_TEST(load_config(copy + "/config.yaml", {"log.directory=other"}).log.directory == "other");
  BOOST_TEST(load_config(run + ".yaml", {}).log.directory == run);
  fs::create_directory(folder.path("project"));
  fs::copy(run + ".yaml", folder.path("project/config.yaml"));
  BOOST_TEST(load_config(folder.path("project/config.yaml"), {}).log.directory == run);
}

BOOST_AUTO_TEST_CASE(what_is_lost_is_said_and_the_run_goes_on) {
  const TemporaryFolder folder;
  const std::string whole = folder.path("whole"), run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(whole, 1), 0);
  using Loss = std::function<void()>;
  const auto resumed = [&](const Loss& lose, const std::vector<std::string>& overrides = {}) {
    fs::remove_all(run);
    fs::copy(whole, run, fs::copy_options::recursive);
    fs::copy_file(whole + ".yaml", run + ".yaml", fs::copy_options::overwrite_existing);
    lose();
    return said([&] { BOOST_REQUIRE_EQUAL(train_small(run, 1, overrides, true), 0); });
  };
  const std::vector<std::string> longer = {"budget.steps=14"};
  const auto empty = [&](const std::string& name) { return [&, name] { std::ofstream(run + name, std::ios::trunc); }; };
  const auto remove = [&](const std::string& name) { return [&, name] { fs::remove_all(run + name); }; };

  for (const Loss& lose : std::vector<Loss>{remove("/data.json"), empty("/data.json")}) {
    BOOST_TEST(mentions(resumed(lose, longer), "/data.json is missing or empty: taken from the data in "));
    BOOST_TEST((steps_of(run) == Steps{14, 14, 14, 14}));
    BOOST_TEST(content(run + "/data.json") == content(whole + "/data.json"));  // written anew
  }
  for (const Loss& lose : std::vector<Loss>{remove("/ledger.jsonl"), empty("/ledger.jsonl")}) {
    BOOST_TEST(mentions(resumed(lose, longer), "/ledger.jsonl is missing or empty: what the steps so far cost"));
    BOOST_TEST((steps_of(run) == Steps{14, 14, 14, 14}));
    BOOST_TEST(read_totals(run + "/ledger.jsonl").kept_cost().steps == 8);
  }
  const std::string words = resumed(remove("/checkpoints"));
  BOOST_TEST(mentions(words, "there is no checkpoint in " + run + "/checkpoints any more (the ledger names 12)"));
  BOOST_TEST(mentions(words, "starts over at step 0"));
  BOOST_TEST(final_digests(run) == final_digests(whole), boost::test_tools::per_element());
  // A block's files alone.
  BOOST_TEST(mentions(resumed([&] {
                        for (const char* step : {"10", "12"})
                          fs::remove(run + "/checkpoints/block-0002.step-000000" + step + ".h5");
                      }),
                      "block 2 has no usable checkpoint and starts at step 0"));
  BOOST_TEST(final_digests(run) == final_digests(whole), boost::test_tools::per_element());
  BOOST_TEST(!mentions(resumed([] {}), "warning"));
}

BOOST_AUTO_TEST_CASE(lost_facts_of_the_data_are_no_way_to_other_data) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  const std::string digits = load_run_config(run).data.path, other = folder.path("other");
  fs::create_directory(other);
  for (const auto& entry : fs::directory_iterator(digits)) fs::copy(entry.path(), other / entry.path().filename());
  // The training images in place of the held-out ones: data of the same shape.
  for (const char* kind : {"images-idx3", "labels-idx1"}) {
    fs::copy_file(digits + "/train-" + kind + "-ubyte.gz", other + "/t10k-" + kind + "-ubyte.gz",
                  fs::copy_options::overwrite_existing);
  }
  fs::remove(run + "/data.json");
  BOOST_CHECK_EXCEPTION(train_small(run, 1, {"data.path=" + other}, true), InputError, says("by its ledger"));
  BOOST_TEST(!fs::exists(run + "/data.json"));
  // The other commands do without the file too, and say so; where there are no data either they say what to do.
  BOOST_TEST(mentions(said([&] { BOOST_REQUIRE_EQUAL(generate_command(small_picture(run, "")), 0); }),
                      "which are those that the ledger names"));
  BOOST_REQUIRE_EQUAL(eval_command(small_eval(run)), 0);
  BOOST_REQUIRE_EQUAL(export_command(small_export(run, "")), 0);
  GenerateArguments nowhere = small_picture(run, "");
  nowhere.overrides.push_back("data.path=/nowhere");
  BOOST_CHECK_EXCEPTION(generate_command(nowhere), InputError, says("--set data.path=FOLDER"));
}

BOOST_AUTO_TEST_CASE(an_emptied_ledger_takes_no_row_of_an_evaluation) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  std::ofstream(run + "/ledger.jsonl", std::ios::trunc);
  BOOST_REQUIRE_EQUAL(eval_command(small_eval(run)), 0);
  BOOST_TEST(fs::file_size(run + "/ledger.jsonl") == 0U);  // a ledger begins with a run_start row
  BOOST_REQUIRE_EQUAL(train_small(run, 1, {"budget.steps=14"}, true), 0);
}

BOOST_AUTO_TEST_CASE(results_replace_their_like_and_nothing_else) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  BOOST_REQUIRE_EQUAL(eval_command(small_eval(run)), 0);
  BOOST_REQUIRE_EQUAL(generate_command(small_picture(run, "")), 0);
  BOOST_REQUIRE_EQUAL(export_command(small_export(run, "")), 0);
  std::ofstream(folder.path("letter.txt")) << "words";
  std::ofstream(folder.path("photo.png"), std::ios::binary) << "\x89PNG\r\n\x1a\n and what a camera writes";
  std::ofstream(folder.path("empty"));
  std::vector<std::string> files = {
      run + "/config.yaml", run + "/data.json",        run + "/ledger.jsonl",    run + "/eval.json",
      run + "/samples.png", folder.path("letter.txt"), folder.path("photo.png"), run + "/export/model.safetensors"};
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) files.push_back(entry.path());
  std::map<std::string, std::string> before;
  for (const std::string& file : files) before[file] = content(file);
  for (const std::string& file : files) {
    BOOST_TEST_CONTEXT(file) {
      if (file != run + "/samples.png") {
        BOOST_CHECK_EXCEPTION(generate_command(small_picture(run, file)), InputError,
                              says("a picture that blocktrain made"));
      }
      if (file != run + "/eval.json") {
        EvalArguments eval = small_eval(run);
        eval.out = file;
        BOOST_CHECK_EXCEPTION(eval_command(eval), InputError, says("a result of blocktrain eval"));
      }
      BOOST_CHECK_EXCEPTION(export_command(small_export(run, file)), InputError, says("is not a folder"));
    }
  }
  for (const std::string& place : {run, run + "/checkpoints"}) {
    BOOST_CHECK_EXCEPTION(export_command(small_export(run, place)), InputError, says("holds other files"));
  }
  // An earlier export beside which somebody put a file of their own under one of its names.
  fs::copy(run + "/export", folder.path("export"), fs::copy_options::recursive);
  std::ofstream(folder.path("export/reference.safetensors")) << "mine";
  BOOST_CHECK_EXCEPTION(export_command(small_export(run, folder.path("export"))), InputError,
                        says("reference.safetensors"));
  BOOST_TEST(content(folder.path("export/reference.safetensors")) == "mine");
  for (const auto& [file, was] : before) BOOST_TEST((content(file) == was), file);

  BOOST_TEST(generate_command(small_picture(run, run + "/samples.png")) == 0);
  BOOST_TEST(generate_command(small_picture(run, folder.path("empty"))) == 0);
  BOOST_TEST(export_command(small_export(run, run + "/export")) == 0);
  EvalArguments eval = small_eval(run);
  eval.out = folder.path("result.json");
  BOOST_TEST(eval_command(eval) == 0);
  BOOST_TEST(eval_command(eval) == 0);
  BOOST_TEST(Json::parse(content(eval.out)).at("format") == "blocktrain-eval");
  BOOST_TEST((content(run + "/eval.json") == before[run + "/eval.json"]));
}

/// Runs `action` in a process of a user who owns nothing here; its exit code.
int as_nobody(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 99;
    if (geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0)) {
      try {
        code = action();
      } catch (const InputError& e) {
        std::fprintf(stderr, "%s\n", e.what());
        code = 2;
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        code = 1;
      }
    }
    std::fflush(stderr);
    _exit(code);
  }
  int status = 0;
  BOOST_REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

BOOST_AUTO_TEST_CASE(a_run_that_may_only_be_read_is_evaluated) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run"), out = folder.path("open/result.json"), data = folder.path("digits");
  BOOST_REQUIRE_EQUAL(train_small(run, 1), 0);
  // The sources may lie where this other user cannot go.
  fs::copy(load_run_config(run).data.path, data, fs::copy_options::recursive);
  fs::create_directory(folder.path("open"));
  fs::permissions(folder.path(""), fs::perms(0755));
  fs::permissions(folder.path("open"), fs::perms(0777));
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    fs::permissions(entry.path(), fs::perms(entry.is_directory() ? 0555 : 0444));
  }
  fs::permissions(run, fs::perms(0555));
  EvalArguments eval = small_eval(run);
  eval.overrides.push_back("data.path=" + data);
  std::string words = said([&] { BOOST_TEST(as_nobody([&] { return eval_command(eval); }) == 2); });
  BOOST_TEST(mentions(words, "with --out FILE the result is written elsewhere"));
  eval.out = out;
  words = said([&] { BOOST_TEST(as_nobody([&] { return eval_command(eval); }) == 0); });
  BOOST_TEST(mentions(words, "no row was added to the ledger"));
  BOOST_TEST(Json::parse(content(out)).at("format") == "blocktrain-eval");
  GenerateArguments generate = small_picture(run, folder.path("open/a.png"));
  BOOST_TEST(as_nobody([&] { return generate_command(generate); }) == 0);
  BOOST_TEST(as_nobody([&] { return export_command(small_export(run, folder.path("open/export"))); }) == 0);
  // Nor can it be trained in, and the message says why.
  words = said(
      [&] { BOOST_TEST(as_nobody([&] { return train_config(run + "/config.yaml", {"data.path=" + data}); }) == 2); });
  BOOST_TEST(mentions(words, "Permission denied"));
  fs::permissions(run, fs::perms(0755));
  fs::permissions(run + "/checkpoints", fs::perms(0755));
}

}  // namespace blocktrain::trainer
