// Files: extends, loops, and paths that are no config.
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/trainer/config/support.hpp"
#include "trainer/config/document.hpp"

using namespace blocktrain;
using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "blocktrain-config-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

std::string file_problem(const std::string& path) {
  try {
    load_config(path, {});
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(config_files, Folder)

BOOST_AUTO_TEST_CASE(extends_takes_the_other_file_first_wherever_it_stands) {
  write("base/base.yaml", kRequired + "model: {layers: 6, width: 96}\nblocks: {count: 2, layers: [2, 4]}\nseed: 7");
  write("base/middle.yaml", "extends: base.yaml\nmodel: {layers: 8}\nblocks: {layers: [4, 4]}");
  const std::string top = write("top.yaml", "seed: 9\nmodel: {width: 48}\nextends: base/middle.yaml\n");
  const Config c = load_config(top, {"blocks.layers=[1, 7]"});
  BOOST_TEST(c.seed == 9u);
  BOOST_TEST(c.model.layers == 8);
  BOOST_TEST(c.model.width == 48);
  BOOST_TEST((c.blocks.layers == std::vector<int>{1, 7}));
  BOOST_TEST(c.log.directory == "r");
}

BOOST_AUTO_TEST_CASE(problems_name_the_file_they_are_in_the_loaded_one_first) {
  write("base.yaml", kRequired + "seed: x\n");
  const std::string top = write("top.yaml", "extends: base.yaml\nmodel: {width: y}\n");
  BOOST_TEST(file_problem(top) == top + ":2: model.width: found \"y\"; accepted: an integer from 1 to 65536\n" +
                                      (path / "base.yaml").string() +
                                      ":3: seed: found \"x\"; accepted: an integer from 0 to 18446744073709551615");
}

BOOST_AUTO_TEST_CASE(a_loop_is_shown_as_the_chain_it_is) {
  const std::string a = write("a.yaml", kRequired + "extends: b.yaml");
  const std::string b = write("b.yaml", "\n\nextends: ./c.yaml");
  const std::string c = (path / "./c.yaml").string();
  const std::string back = (path / "./.." / path.filename() / "b.yaml").string();  // the same file by another path
  write("c.yaml", "extends: ../" + path.filename().string() + "/b.yaml");
  BOOST_TEST(file_problem(a) == c + ":1: extends: found a loop: " + a + " -> " + b + " -> " + c + " -> " + back +
                                    "; accepted: a chain of files that ends");
  const std::string self = write("self.yaml", kRequired + "extends: self.yaml");
  BOOST_TEST(contains(file_problem(self), "found a loop: " + self + " -> " + self));
}

BOOST_AUTO_TEST_CASE(a_chain_of_sixteen_files_is_accepted_and_of_seventeen_not) {
  for (int i = 1; i <= 16; ++i) write(std::to_string(i) + ".yaml", "extends: " + std::to_string(i - 1) + ".yaml");
  write("0.yaml", kRequired);
  BOOST_TEST(file_problem((path / "15.yaml").string()) == "");
  BOOST_TEST(contains(file_problem((path / "16.yaml").string()), "found a chain of more than 16 files: "));
}

BOOST_AUTO_TEST_CASE(two_extends_on_every_level_are_an_error_not_a_tree_of_files) {
  for (int i = 1; i <= 15; ++i) {
    const std::string other = "extends: " + std::to_string(i - 1) + ".yaml\n";
    write(std::to_string(i) + ".yaml", other + other + other + other);
  }
  write("0.yaml", kRequired);
  // One problem for each of three repeats on 15 levels; following them all would take 4^15 files.
  BOOST_TEST(contains(file_problem((path / "15.yaml").string()), "and 35 more"));
}

BOOST_AUTO_TEST_CASE(what_extends_names_has_to_be_a_config) {
  const auto said = [&](const std::string& value) {
    return file_problem(write("t.yaml", kRequired + "extends: " + value));
  };
  BOOST_TEST(
      contains(said("none.yaml"), "t.yaml:3: extends: \"" + (path / "none.yaml").string() + "\": found no such file"));
  BOOST_TEST(contains(said("."), "found a folder"));
  BOOST_TEST(contains(said("[a.yaml]"), "extends: found a list; accepted: the path of a config"));
  BOOST_TEST(contains(said("''"), "extends: found \"\" in quotes; accepted: the path of a config"));
  BOOST_TEST(contains(said(""), "extends: found nothing; accepted: the path of a config"));
  BOOST_TEST(contains(said("\"a\\0b\""), "found a path with a zero byte"));
  write("list.yaml", "- 1");
  BOOST_TEST(contains(said("list.yaml"), "list.yaml:1: found a list; accepted: `key: value` lines"));
  write("broken.yaml", "a: [1\n\n");
  BOOST_TEST(contains(said("broken.yaml"), "broken.yaml:"));
}

BOOST_AUTO_TEST_CASE(only_regular_readable_files_of_a_bounded_size_are_read) {
  BOOST_TEST(file_problem((path / "none.yaml").string()) ==
             (path / "none.yaml").string() +
                 ": found no such file; accepted: the path of a YAML file (ready ones are in configs/)");
  BOOST_TEST(contains(file_problem(path.string()), ": found a folder; accepted: "));
  BOOST_TEST(contains(file_problem(write("x", "seed: 1") + "/y"), "found no such file"));
  BOOST_TEST(contains(file_problem("/dev/zero"), "found something that is not a regular file"));
  const std::string pipe = (path / "pipe").string();
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  BOOST_TEST(contains(file_problem(pipe), "found something that is not a regular file"));  // and does not wait
  BOOST_TEST(contains(file_problem((path / std::string(300, 'n')).string()), "found a file that cannot be read ("));
  const std::string large = write("large.yaml", std::string(kMostConfigBytes, ' ') + "\n");
  BOOST_TEST(contains(file_problem(large), "found more than 1048576 bytes"));
  if (::geteuid() != 0) {  // root may read everything
    const std::string secret = write("secret.yaml", kRequired);
    fs::permissions(secret, fs::perms::none);
    BOOST_TEST(contains(file_problem(secret), "found a file that may not be read"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
