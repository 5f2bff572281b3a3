// Texts and ids as tokens: every format, documents, what is held out, what is there twice, and what is refused.

#include <numeric>

#include "tests/trainer/tasks/tokens/support.hpp"
#include "trainer/tasks/tokens/token_dataset.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

struct Folder : TemporaryFolder {
  void text(const std::string& name, const std::string& content) const { write(name, bytes_of(content)); }
  TokenDataset open(const TokenDataOptions& options, LookForDocuments look = LookForDocuments::where_needed) const {
    return TokenDataset::open(path(), options, look);
  }
  void refused(const TokenDataOptions& options, std::initializer_list<std::string> parts) const {
    check_input_error([&] { open(options); }, parts);
  }
};

TokenDataOptions options_with(double heldout = 0.5, DocumentMode documents = DocumentMode::joined,
                              const std::string& separator = "") {
  TokenDataOptions o;
  o.heldout = heldout;
  o.documents = documents;
  o.separator = separator;
  return o;
}
TokenDataOptions ids_below(std::int64_t vocabulary, double heldout = 0.5) {
  TokenDataOptions o = options_with(heldout);
  o.vocabulary = vocabulary;
  return o;
}

constexpr auto always = LookForDocuments::always;
using Ids = std::vector<std::int32_t>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(token_dataset, Folder)

BOOST_AUTO_TEST_CASE(bytes_of_one_file_are_its_tokens_and_the_end_is_held_out) {
  text("a.txt", "0123456789");
  const TokenDataset data = open(options_with(0.25));
  BOOST_TEST(text_of(data, Split::train) == "0123456");  // floor(10 * 0.75)
  BOOST_TEST(text_of(data, Split::heldout) == "789");
  BOOST_TEST(data.heldout_is_cut());
  BOOST_TEST(data.vocabulary() == 256);
  BOOST_TEST(data.symbols() == "bytes");
  BOOST_TEST(data.file_bytes() == 10u);
  BOOST_TEST(data.counts(Split::train)['3'] == 1);
  BOOST_TEST(data.counts(Split::train)['7'] == 0);
}

BOOST_AUTO_TEST_CASE(at_least_one_token_on_either_side) {
  text("a.txt", "ab");
  BOOST_TEST(text_of(open(options_with(0.001)), Split::heldout) == "b");
  BOOST_TEST(text_of(open(options_with(0.9)), Split::train) == "a");
  text("a.txt", "a");
  refused(options_with(), {"1 tokens"});
}

BOOST_AUTO_TEST_CASE(files_for_the_held_out_part) {
  text("train.txt", "train");
  text("val.txt", "held out");
  const TokenDataset data = open(options_with());
  BOOST_TEST(text_of(data, Split::train) == "train");
  BOOST_TEST(text_of(data, Split::heldout) == "held out");
  BOOST_TEST(!data.heldout_is_cut());
}

BOOST_AUTO_TEST_CASE(text_that_is_no_utf8_is_refused_with_its_place) {
  text("a.txt", "fine");
  text("b.txt", "caf\xe9 au lait");
  refused(options_with(), {"b.txt", "byte 3", "0xe9", "UTF-8", "data.format bytes"});
  TokenDataOptions as_bytes = options_with();
  as_bytes.format = TokenFormat::bytes;
  BOOST_TEST(text_of(open(as_bytes), Split::train) + text_of(open(as_bytes), Split::heldout) == "finecaf\xe9 au lait");
}

BOOST_AUTO_TEST_CASE(many_files_are_copied_and_hold_the_same_as_few) {
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string content = "file " + std::to_string(i) + ".";
    text(std::string("f") + char('0' + i / 10) + char('0' + i % 10) + ".txt", content);
    all += content;
  }
  const TokenDataset data = open(options_with(), always);
  BOOST_TEST(text_of(data, Split::train) + text_of(data, Split::heldout) == all);
  BOOST_TEST(data.split(Split::train).pieces.size() == 1u);
  const TokenDataset apart = open(options_with(0.5, DocumentMode::apart));
  BOOST_TEST(text_of(apart, Split::train) + text_of(apart, Split::heldout) == all);
  BOOST_TEST(apart.split(Split::train).documents + apart.split(Split::heldout).documents == 101);  // one is cut
}

BOOST_AUTO_TEST_CASE(separators_tell_documents_apart) {
  text("a.txt", "one||two||||three||");
  const TokenDataset joined = open(options_with(0.9, DocumentMode::joined, "||"), always);
  BOOST_TEST(text_of(joined, Split::train) + text_of(joined, Split::heldout) == "one||two||||three||");
  const TokenDataset apart = open(options_with(0.3, DocumentMode::apart, "||"));
  BOOST_TEST(text_of(apart, Split::train) == "onetwot");  // of 11 tokens, floor(11 * 0.7)
  BOOST_TEST(text_of(apart, Split::heldout) == "hree");
  BOOST_TEST(apart.split(Split::train).documents == 3);
  BOOST_TEST(apart.split(Split::heldout).documents == 1);
  const std::vector<std::int64_t> places{0, 3, 6, 7};
  BOOST_TEST(apart.split(Split::train).places == places, boost::test_tools::per_element());
  // Not looked for where nothing depends on them.
  BOOST_TEST(open(options_with(0.9, DocumentMode::joined, "||")).split(Split::heldout).documents == 0);
}

BOOST_AUTO_TEST_CASE(a_cut_inside_a_separator_leaves_it_to_training) {
  text("a.txt", "ab--cd");
  const TokenDataset data = open(options_with(0.5, DocumentMode::joined, "--"), always);
  BOOST_TEST(text_of(data, Split::train) == "ab--");
  BOOST_TEST(text_of(data, Split::heldout) == "cd");
}

BOOST_AUTO_TEST_CASE(a_tokenizer_ends_documents_by_its_end_of_text) {
  text("a.txt", "x y|z");
  text("b.txt", "x");
  const auto words = std::make_shared<WordTokenizer>();
  const TokenDataset joined = open_with(path(), options_with(0.1, DocumentMode::joined, "|"), words);
  // x 1, space 2, y 3, z 4
  BOOST_TEST(tokens_of(joined, Split::train) == (Ids{1, 2, 3, 0, 4, 0, 1}), boost::test_tools::per_element());
  BOOST_TEST(tokens_of(joined, Split::heldout) == (Ids{0}), boost::test_tools::per_element());
  BOOST_TEST(joined.vocabulary() == 70000);
  const TokenDataset apart = open_with(path(), options_with(0.1, DocumentMode::apart, "|"), words);
  BOOST_TEST(apart.split(Split::train).pieces.size() == 3u);
  // Without an end of text joined documents keep their separators.
  const auto endless = std::make_shared<WordTokenizer>(70000, false);
  const TokenDataset kept = open_with(path(), options_with(0.1, DocumentMode::joined, "|"), endless);
  BOOST_TEST(tokens_of(kept, Split::train) == (Ids{1, 2, 3, 4, 5}), boost::test_tools::per_element());
  BOOST_TEST(tokens_of(kept, Split::heldout) == (Ids{1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(ids_of_every_width_come_back) {
  text("a.txt", "b a b c d e f g");
  for (const std::int64_t vocabulary : {200, 256, 257, 65536, 65537, 1 << 20}) {
    const TokenDataset data = open_with(path(), options_with(0.1), std::make_shared<WordTokenizer>(vocabulary));
    BOOST_TEST(data.symbols() == "words");
    BOOST_TEST(tokens_of(data, Split::train) == (Ids{1, 2, 3, 2, 1, 2, 4, 2, 5, 2, 6, 2, 7, 2}),
               boost::test_tools::per_element());
  }
  TokenDataOptions larger = options_with(0.1);
  larger.vocabulary = 300;
  BOOST_TEST(open_with(path(), larger, std::make_shared<WordTokenizer>(200)).vocabulary() == 300);
  larger.vocabulary = 199;
  check_input_error([&] { open_with(path(), larger, std::make_shared<WordTokenizer>(200)); },
                    {"data.vocabulary", "199", "200"});
}

BOOST_AUTO_TEST_CASE(files_of_ids) {
  write("train.bin", ids16({1, 2, 70, 65535}));
  write("val.bin", ids16({3, 0}));
  const TokenDataset data = open(ids_below(65536));
  BOOST_TEST(tokens_of(data, Split::train) == (Ids{1, 2, 70, 65535}), boost::test_tools::per_element());
  BOOST_TEST(tokens_of(data, Split::heldout) == (Ids{3, 0}), boost::test_tools::per_element());
  BOOST_TEST(data.symbols() == "ids below 65536");
  BOOST_TEST(data.tokenizer() == nullptr);
  BOOST_TEST(data.tokenizing_seconds() == 0);
  refused(options_with(), {"data.vocabulary", "ids", "50257"});
  refused(ids_below(70), {"train.bin", "token 2 is the id 70", "ids below 70", "data.vocabulary"});
  write("train.bin", llmc({1, 2, 70}));
  write("val.bin", llmc({3}));
  BOOST_TEST(tokens_of(open(ids_below(71)), Split::train) == (Ids{1, 2, 70}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_id_beyond_the_vocabulary_is_found_wherever_it_is) {
  for (const std::size_t at : {0, 1, 4095, 4096, 4097, 9999}) {
    std::vector<int> ids(10000, 499);
    ids[at] = 500;
    write("a.bin", ids16(ids));
    refused(ids_below(500), {"token " + std::to_string(at) + " is the id 500"});
    BOOST_CHECK_NO_THROW(open(ids_below(501)));
  }
}

BOOST_AUTO_TEST_CASE(documents_of_ids_end_with_an_id) {
  write("a.bin", ids16({9, 1, 2, 9, 9, 3, 4}));
  TokenDataOptions o = ids_below(10, 0.3);
  o.documents = DocumentMode::apart;
  o.end_of_text = 9;
  const TokenDataset data = open(o);
  const std::vector<std::int64_t> places{0, 1, 4};  // [9] [1 2 9], and of the rest, floor(7 * 0.7) = 4 are kept
  BOOST_TEST(data.split(Split::train).places == places, boost::test_tools::per_element());
  BOOST_TEST(tokens_of(data, Split::heldout) == (Ids{9, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(data.split(Split::heldout).documents == 2);
  o.end_of_text = 10;
  refused(o, {"data.end_of_text", "10"});
}

BOOST_AUTO_TEST_CASE(keys_that_do_not_suit_the_files_are_refused) {
  text("a.txt", "some text");
  TokenDataOptions o = options_with();
  o.end_of_text = 3;
  refused(o, {"data.end_of_text", "text", "data.separator"});
  fs::remove(path() / "a.txt");
  write("a.bin", ids16({1, 2, 3}));
  o = ids_below(10);
  o.separator = "|";
  refused(o, {"data.separator", "ids", "data.end_of_text"});
}

BOOST_AUTO_TEST_CASE(duplicates_are_counted_and_left_out_on_request) {
  text("a.txt", "same|other|same|held|same|other");
  // Of 26 tokens apart, floor(26 * 0.6) = 15: same other same, and half of held.
  TokenDataOptions o = options_with(0.4, DocumentMode::apart, "|");
  const TokenDataset with = open(o, LookForDocuments::always);
  BOOST_TEST(text_of(with, Split::train) == "sameothersamehe");
  BOOST_TEST(text_of(with, Split::heldout) == "ldsameother");
  // All of these are held out too.
  BOOST_TEST(with.duplicates().documents == 3);
  BOOST_TEST(with.duplicates().tokens == 13);
  BOOST_TEST(with.duplicates().of_tokens == 15);
  o.deduplicate = Deduplication::exact;
  const TokenDataset without = open(o);
  BOOST_TEST(text_of(without, Split::train) == "he");
  BOOST_TEST(text_of(without, Split::heldout) == "ldsameother");
  BOOST_TEST(without.duplicates().documents == 3);
  BOOST_TEST(without.notes().size() == 1u);
  BOOST_TEST(without.notes()[0].find("left out 3 documents") != std::string::npos);
  BOOST_TEST(with.digest() != without.digest());
}

BOOST_AUTO_TEST_CASE(the_first_of_several_stays) {
  text("train.txt", "a|b|a|a|ab|b|");
  text("val.txt", "c|c");
  TokenDataOptions o = options_with(0.5, DocumentMode::joined, "|");
  o.deduplicate = Deduplication::exact;
  const TokenDataset data = open(o);
  BOOST_TEST(text_of(data, Split::train) == "a|b|ab|");
  BOOST_TEST(text_of(data, Split::heldout) == "c|c");
  BOOST_TEST(data.duplicates().documents == 3);
  BOOST_TEST(data.duplicates().share() == 6.0 / 13);
  BOOST_TEST(open(options_with(0.5, DocumentMode::joined, "|"), always).duplicates().documents == 3);
  BOOST_TEST(open(options_with(0.5, DocumentMode::joined, "|")).duplicates().of_tokens == 0);
}

BOOST_AUTO_TEST_CASE(copies_run_across_pieces) {
  text("train.txt", "ab|ab|cd|ab|ef");
  text("val.txt", "x");
  TokenDataOptions o = options_with(0.5, DocumentMode::joined, "|");
  o.deduplicate = Deduplication::exact;
  const TokenDataset data = open(o);
  const std::string whole = "ab|cd|ef";
  BOOST_TEST(text_of(data, Split::train) == whole);
  for (std::size_t at = 0; at <= whole.size(); ++at) {
    for (std::size_t many = 0; at + many <= whole.size(); ++many) {
      Ids ids(many);
      data.copy(Split::train, static_cast<std::int64_t>(at), ids);
      std::string found;
      data.tokenizer()->decode(ids, found);
      BOOST_TEST(found == whole.substr(at, many));
    }
  }
  Ids ids(1);
  BOOST_CHECK_THROW(data.copy(Split::train, 8, ids), std::logic_error);
  BOOST_CHECK_THROW(data.copy(Split::train, -1, ids), std::logic_error);
}

BOOST_AUTO_TEST_CASE(digests_tell_data_and_tokens_apart) {
  text("a.txt", "some text");
  const std::string one = open(options_with()).digest();
  BOOST_TEST(is_sha256_hex(one));
  BOOST_TEST(open(options_with()).digest() == one);
  BOOST_TEST(open(options_with(0.4)).digest() != one);
  TokenDataOptions more = options_with();
  more.vocabulary = 300;
  BOOST_TEST(open(more).digest() != one);
  BOOST_TEST(open(options_with(0.5, DocumentMode::apart)).digest() != one);
  BOOST_TEST(open_with(path(), options_with(), std::make_shared<WordTokenizer>(256, false)).digest() != one);
  fs::rename(path() / "a.txt", path() / "b.txt");
  BOOST_TEST(open(options_with()).digest() == one);
  text("b.txt", "some tExt");
  BOOST_TEST(open(options_with()).digest() != one);
}

BOOST_AUTO_TEST_CASE(files_that_change_are_noticed) {
  text("a.txt", std::string(10000, 'a'));
  const TokenDataset data = open(options_with());
  data.require_unchanged();
  BOOST_REQUIRE(truncate((path() / "a.txt").c_str(), 100) == 0);
  BOOST_CHECK_THROW(data.require_unchanged(), RunError);
  Ids ids(10);
  data.copy(Split::heldout, 4000, ids);  // no crash: zeros
  BOOST_TEST(std::accumulate(ids.begin(), ids.end(), 0) == 0);
}

BOOST_AUTO_TEST_CASE(what_a_tokenizer_refuses_names_the_file) {
  class Refusing final : public Tokenizer {
   public:
    std::int64_t vocabulary() const override { return vocabulary_; }
    void encode(std::string_view, std::vector<std::int32_t>&) const override { throw InputError("not this"); }
    void decode(std::span<const std::int32_t>, std::string&) const override {}
    std::string description() const override { return "none"; }
    std::optional<std::int32_t> end_of_text() const override { return std::nullopt; }
    const std::string& digest() const override { return digest_; }
    std::int64_t vocabulary_ = 10;
    std::string digest_;
  };
  text("a.txt", "ab|cd");
  auto refusing = std::make_shared<Refusing>();
  check_input_error([&] { open_with(path(), options_with(), refusing); }, {"a.txt", "byte 0", "not this"});
  refusing->vocabulary_ = (std::int64_t{1} << 22) + 1;
  check_input_error([&] { open_with(path(), options_with(), refusing); }, {"4194305 ids"});
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
