// The manifest: its text, its damage, and everything hostile that a text with a right digest may say.

#include "trainer/checkpoint/manifest.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <limits>

#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

using namespace test;

CommittedFile entry(int block, std::int64_t step) {
  return {.name = block_file_name(block, step),
          .block = block,
          .step = step,
          .bytes = 1000,
          .sha256 = std::string(64, 'c')};
}

Manifest small_manifest() {
  return {.experiment = {identity_a, {{"model.width", "16", "", ""}, {"seed", "0", "", ""}}},
          .blocks = {{entry(0, 20), entry(0, 10)}, {}, {entry(2, 10)}}};
}

/// The text with its digest made right again, as somebody hostile would.
std::string sealed(const std::string& text) {
  const std::size_t tail = text.rfind("  \"sha256\": \"");
  const std::string body = text.substr(0, tail);
  return body + "  \"sha256\": \"" + sha256_hex(body) + "\"\n}\n";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  BOOST_REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  const std::string text = to_text(small_manifest());
  BOOST_TEST((parse_manifest(text, "here") == small_manifest()));
  BOOST_TEST(to_text(parse_manifest(text, "here")) == text);
}

BOOST_AUTO_TEST_CASE(a_partition_s_curve_is_kept_to_the_bit_in_a_version_of_its_own) {
  BOOST_TEST(to_text(small_manifest()).find("\"version\": 2,") != std::string::npos);
  Manifest manifest = small_manifest();
  manifest.information = {0, 1e-300, 0.1 + 0.2, 2.302585092994046};
  const std::string text = to_text(manifest);
  BOOST_TEST(text.find("\"version\": 3,") != std::string::npos);
  BOOST_TEST((parse_manifest(text, "here") == manifest));
  const auto refused = [&](const std::vector<double>& information) {
    manifest.information = information;
    BOOST_CHECK_EXCEPTION(parse_manifest(to_text(manifest), "here"), InputError, Mentions{{"\"information\""}});
  };
  refused({1});
  refused({1, 0.5});
  refused({-1, 0.5});
  refused({0, std::numeric_limits<double>::infinity()});
  refused(std::vector<double>(5000, 1.0));
  manifest.information = {0, 1};
  const std::string good = to_text(manifest);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"information\"", "\"informatino\""}, {"\"version\": 3", "\"version\": 2"}, {"0.0,", "\"0\","}}) {
    BOOST_CHECK_THROW(parse_manifest(sealed(replaced(good, from, to)), "here"), InputError);
  }
}

BOOST_AUTO_TEST_CASE(every_damage_is_noticed) {
  const std::string good = to_text(small_manifest());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    for (int bit = 0; bit < 8; ++bit) {
      bad[i] = static_cast<char>(static_cast<unsigned char>(good[i]) ^ (1u << bit));
      BOOST_CHECK_THROW(parse_manifest(bad, "here"), InputError);
    }
    BOOST_CHECK_EXCEPTION(parse_manifest(good.substr(0, i), "here.json"), InputError, Mentions{{"here.json"}});
  }
  BOOST_CHECK_THROW(parse_manifest(good + "\n", "here"), InputError);
}

BOOST_AUTO_TEST_CASE(hostile_contents_are_refused) {
  const std::string good = to_text(small_manifest());
  const auto refused = [&](const std::string& from, const std::string& to, const std::string& part) {
    BOOST_CHECK_EXCEPTION(parse_manifest(sealed(replaced(good, from, to)), "here.json"), InputError,
                          (Mentions{{"here.json", part}}));
  };
  const std::string name = "block-0000.step-00000020.h5";
  refused(name, "../block-0000.step-00000020.h5", "expected \"" + name);
  refused(name, "/etc/passwd", "expected \"" + name);
  refused(name, "block-0002.step-00000020.h5", "expected \"" + name);
  refused(name, "", "expected \"" + name);
  refused(name, name + "\\u0000", "expected \"" + name);
  refused("\"step\": 20", "\"step\": -20", "whole number");
  refused("\"step\": 20", "\"step\": 20.5", "whole number");
  refused("\"step\": 20", "\"step\": \"20\"", "whole number");
  refused("\"step\": 20", "\"step\": 4294967296", "whole number");
  refused("\"step\": 20", "\"step\": 1e999", "not JSON");
  refused("\"step\": 20", "\"step\": 99999999999999999999999999", "whole number");
  refused("\"bytes\": 1000", "\"bytes\": 18446744073709551615", "whole number");
  refused("\"bytes\": 1000", "\"bytes\": -1", "whole number");
  refused("\"bytes\": 1000", "\"bytes\": null", "whole number");
  refused("\"bytes\": 1000", "\"bytes\": 1000, \"bytes\": 1000", "twice");
  refused("\"bytes\": 1000", "\"bytes\": 1000, \"more\": 1", "\"more\"");
  refused("\"bytes\": 1000,", "", "has no \"bytes\"");
  refused(std::string(64, 'c'), std::string(64, 'C'), "64 hex digits");
  refused(std::string(64, 'c'), std::string(63, 'c'), "64 hex digits");
  refused(identity_a, "not hex", "hex digits");
  refused("\"block\": 1", "\"block\": 0", "is not block 1");
  refused("\"block\": 1", "\"block\": 1e3", "whole number");
  refused("blocktrain-manifest", "other", "blocktrain-manifest");
  refused("\"version\": 2", "\"version\": 4", "newer blocktrain");
  refused("\"version\": 2", "\"version\": 0", "version 0");
  refused("\"version\": 2", "\"version\": 1", "\"keys\"");
  refused("\"version\": 2,", "", "has no \"version\"");
  refused("\"version\": 2", "\"version\": " + std::string(20, '['), "nested");
  refused("\"version\": 2", "\"version\": " + std::string(100000, '['), "nested");
  refused("\"version\": 2", "\"version\": ", "not JSON");
  refused("\"keys\"", "\"kyes\"", "has no \"keys\"");
  refused("\"seed\": \"0\"", "\"seed\": 0", "\"seed\" of \"keys\" is not a string");
  refused("\"seed\": \"0\"", "\"seed\": \"0\", \"seed\": \"0\"", "twice");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "\"k" + std::to_string(i) + "\": \"1\", ";
  refused("\"seed\": \"0\"", many + "\"seed\": \"0\"", "4096 keys");
  refused("\"files\": []", "\"files\": {}", "is not a list");
  refused("\"files\": []", "\"files\": [[]]", "is not an object");
  refused("\"experiment\"", "\"\\ud800\"", "not JSON");

  Manifest twice = small_manifest();
  twice.blocks[0] = {entry(0, 20), entry(0, 20)};
  BOOST_CHECK_EXCEPTION(parse_manifest(to_text(twice), "here"), InputError, Mentions{{"each once"}});
  twice.blocks[0] = {entry(0, 10), entry(0, 20)};
  BOOST_CHECK_EXCEPTION(parse_manifest(to_text(twice), "here"), InputError, Mentions{{"newest first"}});
  Manifest none{.experiment = identity_a, .blocks = {}};
  BOOST_CHECK_EXCEPTION(parse_manifest(to_text(none), "here"), InputError, Mentions{{"\"blocks\""}});
  BOOST_CHECK_THROW(parse_manifest(sealed("[]\n  \"sha256\": \""), "here"), InputError);
  BOOST_CHECK_THROW(parse_manifest("", "here"), InputError);
}

struct Run {
  TemporaryFolder run;
  std::filesystem::path folder = checkpoints_folder(run.path());
  std::filesystem::path current = folder / "manifest.json", previous = folder / "manifest.previous.json";
  std::string good = to_text(small_manifest());
  Run() { create_checkpoints_folder(run.path()); }
  auto load() { return load_manifest(run.path(), identity_a, 3); }
};

BOOST_FIXTURE_TEST_CASE(nothing_saved_is_no_error, Run) {
  BOOST_TEST(!load().has_value());
  std::filesystem::remove(folder);
  BOOST_TEST(!load().has_value());
}

BOOST_FIXTURE_TEST_CASE(the_one_before_does_when_the_newest_is_damaged_or_missing, Run) {
  write_bytes(current, good);
  auto loaded = load();
  BOOST_REQUIRE(loaded.has_value());
  BOOST_TEST((loaded->manifest == small_manifest()));
  BOOST_TEST(loaded->warnings.empty());

  write_bytes(previous, good);
  for (const std::string& damage : {std::string(), good.substr(0, good.size() / 2), std::string(good.size(), '\0'),
                                    replaced(good, "\"step\": 20", "\"step\": 21")}) {
    write_bytes(current, damage);
    loaded = load();
    BOOST_REQUIRE(loaded.has_value());
    BOOST_TEST((loaded->manifest == small_manifest()));
    BOOST_REQUIRE(loaded->warnings.size() == 1u);
    BOOST_TEST(loaded->warnings[0].find(current.string()) != std::string::npos);
    BOOST_TEST(loaded->warnings[0].find(previous.string()) != std::string::npos);
  }
  std::filesystem::remove(current);
  loaded = load();
  BOOST_REQUIRE(loaded.has_value());
  BOOST_TEST(loaded->warnings.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(no_usable_manifest_never_means_a_fresh_start, Run) {
  write_bytes(current, "x");
  BOOST_CHECK_EXCEPTION(load(), InputError,
                        (Mentions{{current.string(), previous.string() + " is missing", "step 0"}}));
  write_bytes(previous, good.substr(1));
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string(), previous.string()}}));
  std::filesystem::remove(current);
  BOOST_CHECK_THROW(load(), InputError);
  std::filesystem::remove(previous);
  BOOST_TEST(!load().has_value());
  write_bytes(folder / block_file_name(0, 10), "a checkpoint");
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string() + " is missing"}}));
}

BOOST_FIXTURE_TEST_CASE(hostile_or_later_manifests_do_not_fall_back, Run) {
  write_bytes(previous, good);
  write_bytes(current, sealed(replaced(good, "\"version\": 2", "\"version\": 4")));
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string(), "version 4"}}));
  write_bytes(current, sealed(replaced(good, "block-0000.step", "../../block-0000.step")));
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string(), "../../block"}}));
  std::filesystem::remove(current);
  std::filesystem::create_symlink("manifest.previous.json", current);
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string(), "symbolic link"}}));
  std::filesystem::remove(current);
  std::filesystem::create_directory(current);
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{current.string(), "not a plain file"}}));
}

BOOST_FIXTURE_TEST_CASE(another_experiment_is_named_with_its_config, Run) {
  write_bytes(current, good);
  const std::string config = (run.path() / "config.yaml").string();
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), identity_b, 3), InputError,
                        (Mentions{{current.string(), identity_a, identity_b, config}}));
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), identity_b, 4), InputError,
                        (Mentions{{"3 blocks there, 4 here", config}}));
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), identity_a, 4), InputError, (Mentions{{"3 blocks", "has 4"}}));
}

BOOST_FIXTURE_TEST_CASE(keys_decide_where_identities_differ, Run) {
  write_bytes(current, good);
  // The same keys under another identity: one that a budget of before gave, say.
  BOOST_TEST(
      load_manifest(run.path(), {identity_b, {{"model.width", "16", "", ""}, {"seed", "0", "", ""}}}, 3).has_value());
  const Experiment other{identity_b, {{"model.width", "32", "", ""}, {"seed", "0", "", ""}}};
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), other, 3), InputError,
                        (Mentions{{current.string(), "model.width: 16 in the run, 32 now"}}));
}

BOOST_FIXTURE_TEST_CASE(a_manifest_without_keys_is_known_by_the_config_beside_it, Run) {
  Manifest without = small_manifest();
  without.experiment.keys.clear();
  const std::string text =
      sealed(replaced(replaced(to_text(without), "\"version\": 2", "\"version\": 1"), "\"keys\": {},\n  ", ""));
  write_bytes(current, text);
  const Experiment recorded{identity_a, {{"model.width", "16", "", ""}}};
  const Experiment same{identity_b, {{"model.width", "16", "", ""}}},
      other{identity_b, {{"model.width", "32", "", ""}}};
  BOOST_TEST(load_manifest(run.path(), {identity_a}, 3).has_value());
  BOOST_TEST(load_manifest(run.path(), same, 3, recorded).has_value());
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), other, 3, recorded), InputError,
                        (Mentions{{"model.width: 16 in the run, 32 now"}}));
  // A config.yaml that is not that of the checkpoints says nothing of them.
  BOOST_CHECK_EXCEPTION(load_manifest(run.path(), same, 3, same), InputError, (Mentions{{identity_a, "ledger"}}));
}

BOOST_FIXTURE_TEST_CASE(a_linked_folder_is_refused, Run) {
  const TemporaryFolder elsewhere;
  std::filesystem::remove(folder);
  std::filesystem::create_directory_symlink(elsewhere.path(), folder);
  BOOST_CHECK_EXCEPTION(load(), InputError, (Mentions{{folder.string(), "symbolic link"}}));
}

}  // namespace
}  // namespace blocktrain::trainer
