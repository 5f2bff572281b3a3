// Which files are read, and what is said of those that are not; headers of files of ids.

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/trainer/tasks/tokens/support.hpp"
#include "trainer/support/utf8.hpp"
#include "trainer/tasks/tokens/token_bin.hpp"
#include "trainer/tasks/tokens/token_files.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

std::vector<std::string> names(const std::vector<TokenFile>& files) {
  std::vector<std::string> all;
  for (const TokenFile& file : files) all.push_back(file.name);
  return all;
}
using Names = std::vector<std::string>;

struct Folder : TemporaryFolder {
  void text(const std::string& name, const std::string& content = "some text") const {
    fs::create_directories((path() / name).parent_path());
    write(name, bytes_of(content));
  }
  TokenFiles find(TokenFormat format = TokenFormat::automatic) const { return find_token_files(path(), format); }
};

bool any_with(const std::vector<std::string>& notes, const std::string& part) {
  return std::ranges::any_of(notes, [&](const std::string& n) { return n.find(part) != std::string::npos; });
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(token_files, Folder)

BOOST_AUTO_TEST_CASE(one_file_is_what_its_name_and_first_bytes_say) {
  text("a.txt");
  write("a.bin", ids16({1, 2, 3}));
  write("b.bin", llmc({1, 2, 3}));
  const auto format = [&](const std::string& name) {
    return find_token_files(path() / name, TokenFormat::automatic).format;
  };
  BOOST_TEST((format("a.txt") == TokenFormat::text));
  BOOST_TEST((format("a.bin") == TokenFormat::nanogpt));
  BOOST_TEST((format("b.bin") == TokenFormat::llmc));
  BOOST_TEST((find_token_files(path() / "a.bin", TokenFormat::bytes).format == TokenFormat::bytes));
  const TokenFiles one = find_token_files(path() / "a.txt", TokenFormat::automatic);
  BOOST_TEST(one.training.size() == 1u);
  BOOST_TEST(one.training[0].bytes == 9u);
  BOOST_TEST(one.heldout.empty());
  // The path itself may be a link.
  fs::create_symlink(path() / "a.txt", path() / "link");
  BOOST_TEST(find_token_files(path() / "link", TokenFormat::automatic).training[0].bytes == 9u);
}

BOOST_AUTO_TEST_CASE(of_a_folder_texts_are_read_or_else_everything) {
  text("b.py");
  text("sub/a.py");
  text(".git/config");
  BOOST_TEST(names(find().training) == (Names{"b.py", "sub/a.py"}), boost::test_tools::per_element());
  BOOST_TEST(find().notes.empty());
  text("c.txt");
  BOOST_TEST(names(find().training) == (Names{"c.txt"}), boost::test_tools::per_element());
  BOOST_TEST(any_with(find().notes, "do not end in .txt: b.py, sub/a.py"));
  BOOST_TEST(names(find(TokenFormat::bytes).training) == (Names{"b.py", "c.txt", "sub/a.py"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(parts_are_told_by_words_of_names) {
  text("shakespeare_train.txt");
  text("shakespeare_val.txt");
  text("shakespeare_test.txt");
  text("training-2.txt");
  text("notes.txt");
  const TokenFiles files = find();
  BOOST_TEST(names(files.training) == (Names{"shakespeare_train.txt", "training-2.txt"}),
             boost::test_tools::per_element());
  BOOST_TEST(names(files.heldout) == (Names{"shakespeare_val.txt"}), boost::test_tools::per_element());
  BOOST_TEST(
      any_with(files.notes, "neither training nor the held-out part by their names: notes.txt, shakespeare_test.txt"));
}

BOOST_AUTO_TEST_CASE(folders_name_parts_too_and_test_stands_in) {
  text("train/a.txt");
  text("train/val.txt");  // the folder comes first
  text("test/a.txt");
  BOOST_TEST(names(find().training) == (Names{"train/a.txt", "train/val.txt"}), boost::test_tools::per_element());
  BOOST_TEST(names(find().heldout) == (Names{"test/a.txt"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(without_a_training_part_names_say_nothing) {
  text("test.txt");
  text("valley.txt");
  text("val.txt");
  BOOST_TEST(find().training.size() == 3u);
  BOOST_TEST(find().heldout.empty());
}

BOOST_AUTO_TEST_CASE(ids_of_nanogpt_and_llmc) {
  write("train.bin", ids16({1, 2}));
  write("val.bin", ids16({3}));
  text("meta.pkl");
  BOOST_TEST((find().format == TokenFormat::nanogpt));
  BOOST_TEST(names(find().training) == (Names{"train.bin"}), boost::test_tools::per_element());
  BOOST_TEST(names(find().heldout) == (Names{"val.bin"}), boost::test_tools::per_element());
  BOOST_TEST(any_with(find().notes, "do not end in .bin: meta.pkl"));
  write("train.bin", llmc({1, 2}));
  BOOST_TEST((find().format == TokenFormat::llmc));
  text("input.txt");
  check_input_error([&] { find(); }, {"(.txt)", "(.bin)", "data.format"});
  BOOST_TEST((find(TokenFormat::text).format == TokenFormat::text));
  BOOST_TEST((find(TokenFormat::nanogpt).format == TokenFormat::nanogpt));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_named) {
  text("a.txt");
  text("empty.txt", "");
  fs::create_symlink(path() / "a.txt", path() / "link.txt");
  BOOST_REQUIRE(mkfifo((path() / "pipe.txt").c_str(), 0600) == 0);
  const TokenFiles files = find();
  BOOST_TEST(names(files.training) == (Names{"a.txt"}), boost::test_tools::per_element());
  BOOST_TEST(any_with(files.notes, "symbolic links, which are not followed: link.txt"));
  BOOST_TEST(any_with(files.notes, "empty files: empty.txt"));
  BOOST_TEST(any_with(files.notes, "neither files nor folders: pipe.txt"));
}

BOOST_AUTO_TEST_CASE(what_is_no_data_is_refused) {
  const auto refused = [&](const std::string& name, TokenFormat format, std::initializer_list<std::string> parts) {
    check_input_error([&] { find_token_files(path() / name, format); }, parts);
  };
  BOOST_CHECK_THROW(find_token_files(path() / "none", TokenFormat::automatic), DataAbsent);
  refused("none", TokenFormat::automatic, {"none", "does not exist"});
  fs::create_directory(path() / "nothing");
  BOOST_CHECK_THROW(find_token_files(path() / "nothing", TokenFormat::automatic), DataAbsent);
  BOOST_CHECK_THROW(find_token_files(path() / "nothing", TokenFormat::nanogpt), DataAbsent);
  text("empty.txt", "");
  refused("empty.txt", TokenFormat::automatic, {"empty.txt", "is empty"});
  BOOST_REQUIRE(mkfifo((path() / "pipe").c_str(), 0600) == 0);
  refused("pipe", TokenFormat::automatic, {"neither a file nor a folder"});
  const int socket_file = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string at = path() / "socket";
  BOOST_REQUIRE(at.copy(address.sun_path, sizeof(address.sun_path) - 1) == at.size());
  BOOST_REQUIRE(bind(socket_file, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  refused("socket", TokenFormat::automatic, {"neither a file nor a folder"});
  close(socket_file);
  fs::create_directory(path() / "links");
  fs::create_symlink(path() / "empty.txt", path() / "links/a.txt");
  refused("links", TokenFormat::automatic, {"symbolic links alone"});
}

BOOST_AUTO_TEST_CASE(deep_folders_and_too_many_files_of_ids_are_refused) {
  std::string deep = "a";
  for (int i = 0; i < 20; ++i) deep += "/a";
  text(deep + "/b.txt");
  check_input_error([&] { find(); }, {"more than 16 deep"});
  std::vector<TokenFile> many;
  for (int i = 0; i < 513; ++i) many.push_back({"", std::to_string(i) + ".bin", 2});
  check_input_error([&] { choose_token_files("x", many, TokenFormat::nanogpt, map_token_file); },
                    {"513", "at most 512"});
  many.pop_back();
  BOOST_TEST(choose_token_files("x", many, TokenFormat::nanogpt, map_token_file).training.size() == 512u);
}

BOOST_AUTO_TEST_CASE(headers) {
  const auto refused = [](TokenFormat format, const Bytes& file, std::initializer_list<std::string> parts) {
    check_input_error([&] { read_bin_layout(format, file, "x.bin"); }, parts);
  };
  BOOST_TEST(read_bin_layout(TokenFormat::nanogpt, ids16({1, 2, 3}), "x").tokens == 3);
  BOOST_TEST(read_bin_layout(TokenFormat::nanogpt, ids16({1}), "x").first_byte == 0u);
  BOOST_TEST(read_bin_layout(TokenFormat::llmc, llmc({1, 2, 3}), "x").tokens == 3);
  BOOST_TEST(read_bin_layout(TokenFormat::llmc, llmc({1}), "x").first_byte == 1024u);
  refused(TokenFormat::nanogpt, {1, 2, 3}, {"x.bin", "3 bytes", "two bytes each"});
  refused(TokenFormat::nanogpt, llmc({1}), {"header of llm.c", "data.format llmc"});
  refused(TokenFormat::llmc, ids16({1, 2}), {"4 bytes", "1024"});
  refused(TokenFormat::llmc, llmc({1}, 1, 20240801), {"20240801", "20240520"});
  refused(TokenFormat::llmc, llmc({1}, 1, 20240520, 2), {"version 2", "accepted: 1"});
  refused(TokenFormat::llmc, llmc({1, 2}, 1), {"announces 1", "4 bytes behind"});
  refused(TokenFormat::llmc, llmc({1, 2}, 3), {"announces 3"});
  refused(TokenFormat::llmc, llmc({}, 0), {"announces 0"});
  refused(TokenFormat::llmc, llmc({1, 2}, -1), {"announces -1"});
  refused(TokenFormat::llmc, llmc({1, 2}, std::int64_t{1} << 31), {"announces -2147483648"});
  refused(TokenFormat::llmc, llmc({1, 2}, 0x7fffffff), {"announces 2147483647"});
}

BOOST_AUTO_TEST_CASE(utf8) {
  const auto first_wrong = [](const std::string& text) { return find_invalid_utf8(bytes_of(text)); };
  for (const std::string good :
       {"", "plain text, longer than eight bytes", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa4\x62"}) {
    BOOST_TEST(!first_wrong(good), for_terminal(good));
  }
  for (const std::string bad :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xf0\x90\x80"}) {
    for (const std::string before : {"", "a", "1234567", "12345678", "\xc3\xa4"}) {
      BOOST_TEST((first_wrong(before + bad) == before.size()), for_terminal(before + bad));
      BOOST_TEST((first_wrong(before + bad + "more text") == before.size()));
    }
  }
  BOOST_TEST(for_terminal("a\tb\n\x1b[31m\x7f\xc2\x9b\xff\xc3\xa4") == "a\tb\n\\x1b[31m\\x7f\\xc2\\x9b\\xff\xc3\xa4");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
