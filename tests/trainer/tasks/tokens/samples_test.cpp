// Windows as batches: what the loader asks for is what it gets, on any number of ranks and from any step.

#include <set>
#include <thread>

#include "kernels/arena.hpp"
#include "tests/trainer/tasks/tokens/support.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/tasks/tokens/token_samples.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

constexpr std::uint64_t seed = 23;
constexpr std::int64_t context = 10, batch = 6;
using Ids = std::vector<std::int32_t>;

/// A text of 1000 bytes in which every four in a row are at one place alone.
std::string numbered_text() {
  std::string text;
  for (int i = 0; i < 250; ++i) text += {static_cast<char>('a' + i / 16), static_cast<char>('A' + i % 16), '.', ' '};
  return text;
}

struct Text : TemporaryFolder {
  Text() { write("a.txt", bytes_of(numbered_text())); }
  TokenSamples open(double heldout = 0.1, std::int64_t length = context) const {
    TokenDataOptions o;
    o.heldout = heldout;
    return {TokenDataset::open(path() / "a.txt", o), "somewhere", length};
  }
};

/// The tokens of steps [first, first + steps), of samples [begin, end) of each batch.
std::vector<Ids> batches(const TokenSamples& data, std::uint32_t first, int steps, std::int64_t begin = 0,
                         std::int64_t end = batch) {
  BatchLoaderOptions o;
  o.batch = batch;
  o.begin = begin;
  o.end = end;
  o.seed = seed;
  o.first_step = first;
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  BatchLoader loader(data, SampleOrder(seed, data.count(Split::train)), o, arena);
  std::vector<Ids> all;
  for (int i = 0; i < steps; ++i) {
    const kernels::Tensor& t = loader.next().fields[tokens_field];
    all.emplace_back(t.as<std::int32_t>(), t.as<std::int32_t>() + t.size());
  }
  return all;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(token_samples, Text)

BOOST_AUTO_TEST_CASE(facts_and_words) {
  const TokenSamples data = open();
  const DataFacts facts = data.facts();
  BOOST_TEST(facts.path == "somewhere");
  BOOST_TEST((facts.layout == token_layout(10, 256)));
  BOOST_TEST(facts.layout.targets == 10);
  BOOST_TEST(facts.training_samples == 89);  // floor((900 - 9) / 10)
  BOOST_TEST(facts.heldout_samples == 10);
  BOOST_TEST(facts.training_targets == 900);
  BOOST_TEST(facts.heldout_targets == 100);
  BOOST_TEST(describe_tokens(facts) == "900 tokens (bytes) in 89 windows of 10, 100 held out");
  BOOST_TEST(grouped(0) == "0");
  BOOST_TEST(grouped(999) == "999");
  BOOST_TEST(grouped(1000) == "1,000");
  BOOST_TEST(grouped(1234567) == "1,234,567");
  BOOST_TEST(grouped(-123456) == "-123,456");
  BOOST_TEST(data.class_counts()['.'] == 225);
  // What a run keeps gives the layout back without the data.
  const DataFacts read = parse_data_facts(to_json(facts), "data.json");
  BOOST_TEST((read.layout == facts.layout));
  BOOST_TEST(describe_tokens(read) == describe_tokens(facts));
  BOOST_TEST(read.digest == facts.digest);
}

BOOST_AUTO_TEST_CASE(batches_are_the_windows_of_their_pass) {
  const TokenSamples data = open();
  const std::string text = numbered_text();
  const SampleOrder order(seed, data.count(Split::train));
  const auto all = batches(data, 0, 60);  // 360 windows: more than four passes
  std::set<std::int64_t> offsets;
  for (std::size_t s = 0; s < all.size(); ++s) {
    for (std::size_t i = 0; i < batch; ++i) {
      const SampleOrder::Visit visit = order.at(s * batch + i);
      const std::int64_t begin = data.windows(Split::train).begin(visit.index, seed, visit.pass);
      offsets.insert(begin % context);
      std::string found;
      data.dataset().tokenizer()->decode(std::span(all[s]).subspan(i * context, context), found);
      BOOST_TEST(found == text.substr(static_cast<std::size_t>(begin), context));
    }
  }
  BOOST_TEST(offsets.size() > 1u);
}

BOOST_AUTO_TEST_CASE(ranks_and_restarts_change_nothing) {
  const TokenSamples data = open();
  const auto whole = batches(data, 0, 50);
  for (const std::vector<std::int64_t>& cuts : {std::vector<std::int64_t>{0, 6}, {0, 3, 6}, {0, 2, 4, 6}}) {
    for (std::size_t rank = 0; rank + 1 < cuts.size(); ++rank) {
      const auto part = batches(data, 0, 50, cuts[rank], cuts[rank + 1]);
      for (std::size_t s = 0; s < whole.size(); ++s) {
        BOOST_TEST(std::equal(part[s].begin(), part[s].end(), whole[s].begin() + cuts[rank] * context));
      }
    }
  }
  const auto rest = batches(data, 31, 19);
  BOOST_TEST(std::equal(rest.begin(), rest.end(), whole.begin() + 31));
}

BOOST_AUTO_TEST_CASE(held_out_windows_lie_side_by_side) {
  const TokenSamples data = open();
  const std::string text = numbered_text();
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  const blocks::Batch held = blocks::bind_batch(arena, data.layout(), 3);
  data.fill(held, Split::heldout, std::vector<std::int64_t>{9, 0, 4}, std::nullopt);
  const Ids expected_places{990, 900, 940};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int32_t* ids = held.fields[tokens_field].as<std::int32_t>() + i * context;
    std::string found;
    data.dataset().tokenizer()->decode({ids, context}, found);
    BOOST_TEST(found == text.substr(static_cast<std::size_t>(expected_places[i]), context));
    Ids window(context);
    data.window(Split::heldout, std::vector<std::int64_t>{9, 0, 4}[i], window);
    BOOST_TEST(std::equal(window.begin(), window.end(), ids));
  }
  BOOST_CHECK_THROW(data.fill(held, Split::heldout, std::vector<std::int64_t>{10, 0, 4}, std::nullopt),
                    std::logic_error);
  BOOST_CHECK_THROW(data.fill(held, Split::heldout, std::vector<std::int64_t>{0, 4}, std::nullopt), std::logic_error);
  BOOST_CHECK_THROW(data.fill(held, Split::heldout, std::vector<std::int64_t>{0, 1, 2}, seed), std::logic_error);
}

BOOST_AUTO_TEST_CASE(any_threads_may_fill) {
  const TokenSamples data = open();
  const auto whole = batches(data, 0, 20);
  std::vector<std::vector<Ids>> found(4);
  std::vector<std::thread> threads;
  for (auto& f : found) threads.emplace_back([&] { f = batches(data, 0, 20); });
  for (std::thread& t : threads) t.join();
  for (const auto& f : found) BOOST_TEST((f == whole));
}

BOOST_AUTO_TEST_CASE(texts_shorter_than_a_window_are_refused) {
  check_input_error([&] { open(0.1, 901); }, {"training part has 900 tokens", "window of 901", "model.context"});
  check_input_error([&] { open(0.1, 101); }, {"held-out part has 100 tokens", "window of 101", "data.heldout"});
  BOOST_TEST(open(0.1, 100).count(Split::heldout) == 1);
  write("train.txt", bytes_of("long enough"));
  write("val.txt", bytes_of("short"));
  fs::remove(path() / "a.txt");
  check_input_error([&] { TokenSamples(TokenDataset::open(path(), {}), "", 8); }, {"held-out part has 5 tokens"});
  TokenDataOptions apart;
  apart.documents = DocumentMode::apart;
  apart.separator = " ";
  check_input_error([&] { TokenSamples(TokenDataset::open(path(), apart), "", 8); },
                    {"training part has 2 documents, none of them as long", "data.documents joined"});
}

BOOST_AUTO_TEST_CASE(what_is_left_out_is_said) {
  TokenDataOptions apart;
  apart.documents = DocumentMode::apart;
  apart.separator = "|";
  write("train.txt", bytes_of("0123456789|abc|0123456789abc|d"));
  write("val.txt", bytes_of("0123456789"));
  fs::remove(path() / "a.txt");
  const TokenSamples data(TokenDataset::open(path(), apart), "", 10);
  BOOST_TEST(data.count(Split::train) == 2);
  BOOST_REQUIRE(data.notes().size() == 1u);
  BOOST_TEST(
      data.notes()[0].find("left out 2 documents of the training part, 14.8% of its tokens") != std::string::npos,
      data.notes()[0]);
}

BOOST_AUTO_TEST_CASE(a_file_that_changes_under_a_loader_ends_it) {
  const TokenSamples data = open();
  kernels::Arena arena = kernels::Arena::host("batches", 1 << 20);
  const blocks::Batch held = blocks::bind_batch(arena, data.layout(), 1);
  data.fill(held, Split::heldout, std::vector<std::int64_t>{0}, std::nullopt);
  BOOST_REQUIRE(truncate((path() / "a.txt").c_str(), 500) == 0);
  BOOST_CHECK_EXCEPTION(data.fill(held, Split::heldout, std::vector<std::int64_t>{0}, std::nullopt), RunError,
                        [](const RunError& e) { return std::string(e.what()).find("a.txt") != std::string::npos; });
}

BOOST_AUTO_TEST_CASE(distinct_targets_follow_from_the_order) {
  const TokenSamples data = open();
  const SampleOrder order(seed, data.count(Split::train));
  BOOST_TEST(data.distinct_targets(order, 5).value() == 50);
  BOOST_TEST(data.distinct_targets(order, 89).value() == 890);
  BOOST_TEST(data.distinct_targets(order, 89 * 200).value() == 900);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
