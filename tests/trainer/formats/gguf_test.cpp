// GGUF: what is read of a file, and what of damaged and hostile ones is refused.

#include "trainer/formats/gguf.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "tests/trainer/formats/gguf_writer.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

GgufWriter every_kind() {
  GgufWriter writer;
  writer.number("u8", GgufKind::uint8, std::uint8_t{200})
      .number("i8", GgufKind::int8, std::int8_t{-3})
      .number("u16", GgufKind::uint16, std::uint16_t{60000})
      .number("i16", GgufKind::int16, std::int16_t{-300})
      .number("u32", GgufKind::uint32, std::uint32_t{4000000000U})
      .number("i32", GgufKind::int32, std::int32_t{-70000})
      .number("u64", GgufKind::uint64, std::uint64_t{1} << 40)
      .number("i64", GgufKind::int64, -(std::int64_t{1} << 40))
      .number("f32", GgufKind::float32, 0.5f)
      .number("f64", GgufKind::float64, -0.25)
      .number("yes", GgufKind::boolean, std::uint8_t{1})
      .number("no", GgufKind::boolean, std::uint8_t{0})
      .text("name", "a text")
      .text("empty", "")
      .texts("words", {"one", "", "three"})
      .numbers("list", GgufKind::int32, std::vector<std::int32_t>{1, -2, 3})
      .numbers("bytes", GgufKind::uint8, std::vector<std::uint8_t>{1, 255})
      .numbers("reals", GgufKind::float32, std::vector<float>{1.5f, -2})
      .texts("none", {});
  return writer;
}

/// Whether the file is refused by a message that holds `words`.
void refused_file(const std::string& file, const std::string& words) {
  BOOST_CHECK_EXCEPTION(GgufFile(bytes_of(file), "GGUF x"), InputError, [&](const InputError& error) {
    const std::string said = error.what();
    const bool right = said.starts_with("GGUF x: ") && said.find(words) != std::string::npos;
    if (!right) BOOST_TEST_MESSAGE(said);
    return right;
  });
}

void refused(const std::string& words, const std::function<void()>& ask) {
  BOOST_CHECK_EXCEPTION(ask(), InputError, [&](const InputError& error) {
    BOOST_TEST_MESSAGE(error.what());
    return std::string(error.what()).find(words) != std::string::npos;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(metadata_of_every_kind) {
  const std::string bytes = every_kind().file();
  const GgufFile file(bytes_of(bytes), "GGUF x");
  BOOST_TEST(file.version() == 3U);
  BOOST_TEST(file.metadata().size() == 19U);
  BOOST_TEST(file.integer("u8").value() == 200);
  BOOST_TEST(file.integer("i8").value() == -3);
  BOOST_TEST(file.integer("u16").value() == 60000);
  BOOST_TEST(file.integer("i16").value() == -300);
  BOOST_TEST(file.integer("u32").value() == 4000000000);
  BOOST_TEST(file.integer("i32").value() == -70000);
  BOOST_TEST(file.integer("u64").value() == std::int64_t{1} << 40);
  BOOST_TEST(file.integer("i64").value() == -(std::int64_t{1} << 40));
  BOOST_TEST(file.real("f32").value() == 0.5);
  BOOST_TEST(file.real("f64").value() == -0.25);
  BOOST_TEST(file.boolean("yes").value());
  BOOST_TEST(!file.boolean("no").value());
  BOOST_TEST(file.text("name").value() == "a text");
  BOOST_TEST(file.text("empty").value() == "");
  BOOST_TEST((file.texts("words").value() == std::vector<std::string_view>{"one", "", "three"}));
  BOOST_TEST((file.integers("list").value() == std::vector<std::int64_t>{1, -2, 3}));
  BOOST_TEST((file.integers("bytes").value() == std::vector<std::int64_t>{1, 255}));
  BOOST_TEST((file.reals("reals").value() == std::vector<double>{1.5, -2}));
  BOOST_TEST(file.texts("none").value().empty());
  BOOST_TEST(!file.text("absent"));
  BOOST_TEST(!file.integer("absent"));
  BOOST_TEST(!file.texts("absent"));
}

BOOST_AUTO_TEST_CASE(another_kind_is_refused_by_key) {
  const std::string bytes = every_kind().file();
  const GgufFile file(bytes_of(bytes), "GGUF x");
  refused("GGUF x: name: found one of type text; accepted: a whole number", [&] { file.integer("name"); });
  refused("f32", [&] { file.integer("f32"); });
  refused("yes", [&] { file.integer("yes"); });
  refused("u8: found one of type uint8; accepted: a text", [&] { file.text("u8"); });
  refused("u8", [&] { file.real("u8"); });
  refused("u8", [&] { file.boolean("u8"); });
  refused("list: found a list of int32s; accepted: a list of texts", [&] { file.texts("list"); });
  refused("words", [&] { file.integers("words"); });
  refused("list", [&] { file.reals("list"); });
  refused("u8", [&] { file.integers("u8"); });
  const std::string beyond =
      GgufWriter()
          .number("n", GgufKind::uint64, std::numeric_limits<std::uint64_t>::max())
          .numbers("l", GgufKind::uint64, std::vector<std::uint64_t>{1, std::uint64_t{1} << 63})
          .number("f", GgufKind::float32, std::numeric_limits<float>::infinity())
          .numbers("r", GgufKind::float64, std::vector<double>{0, std::numeric_limits<double>::quiet_NaN()})
          .file();
  const GgufFile large(bytes_of(beyond), "GGUF x");
  refused("n: found a number of 2^63 or more", [&] { large.integer("n"); });
  refused("at place 1", [&] { large.integers("l"); });
  refused("not finite", [&] { large.real("f"); });
  refused("at place 1", [&] { large.reals("r"); });
}

BOOST_AUTO_TEST_CASE(tensors_and_where_they_lie) {
  const std::string numbers(64 + 40, 'n');
  const std::string bytes = GgufWriter(2)
                                .number("general.alignment", GgufKind::uint32, std::uint32_t{64})
                                .tensor("a", {3, 2}, 0, 0)        // 24 bytes of F32
                                .tensor("b.weight", {64}, 3, 64)  // two blocks of Q4_1
                                .tensor("scalar", {}, 1, 64)
                                .tensor("later", {5}, 23, 64)  // a type that is not known
                                .data(numbers)
                                .file(64);
  const GgufFile file(bytes_of(bytes), "GGUF x");
  BOOST_TEST(file.version() == 2U);
  BOOST_REQUIRE(file.tensors().size() == 4U);
  const GgufTensor& a = *file.tensor("a");
  BOOST_TEST((a.shape == std::vector<std::int64_t>{2, 3}));
  BOOST_TEST(a.bytes == 24U);
  BOOST_TEST(a.offset == bytes.size() - numbers.size());
  BOOST_TEST(a.offset % 64 == 0U);
  const GgufTensor& b = *file.tensor("b.weight");
  BOOST_TEST(b.bytes == 40U);
  BOOST_TEST(b.offset == a.offset + 64);
  BOOST_TEST(file.data(b).size() == 40U);
  BOOST_TEST(file.data(b).data() == bytes_of(bytes).data() + b.offset);
  BOOST_TEST(file.tensor("scalar")->shape.empty());
  BOOST_TEST(file.tensor("scalar")->bytes == 2U);
  BOOST_TEST(file.tensor("later")->bytes == 0U);
  BOOST_TEST(file.tensor("absent") == nullptr);
}

BOOST_AUTO_TEST_CASE(every_file_that_is_cut_short_is_refused) {
  const std::string whole = every_kind().tensor("a", {3, 2}, 0, 0).data(std::string(24, 'n')).file();
  BOOST_CHECK_NO_THROW(GgufFile(bytes_of(whole), "GGUF x"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string part = whole.substr(0, size);
    BOOST_CHECK_THROW(GgufFile(bytes_of(part), "GGUF x"), InputError);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_gguf) {
  refused_file("", "does not begin with GGUF");
  refused_file("GGU", "does not begin with GGUF");
  refused_file("PK\3\4 and so on", "does not begin with GGUF");
  refused_file(GgufWriter(1).file(), "has version 1; accepted: 2 and 3");
  refused_file(GgufWriter(4).file(), "has version 4");
  refused_file(GgufWriter(3U << 24).file(), "big-endian");
}

BOOST_AUTO_TEST_CASE(hostile_lengths) {
  constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  for (const GgufKind kind : {GgufKind::uint8, GgufKind::int32, GgufKind::float64, GgufKind::text}) {
    for (const std::uint64_t count : {std::uint64_t{100}, std::uint64_t{1} << 40, std::uint64_t{1} << 61, huge}) {
      refused_file(GgufWriter().begin_list("l", kind, count).file(), "the value of 'l' would need");
    }
  }
  refused_file(GgufWriter().begin_list("l", GgufKind::list, 1).file(), "a list of lists");
  refused_file(GgufWriter().begin_list("l", static_cast<GgufKind>(13), 1).file(), "has type 13; accepted: 0 to 12");
  refused_file(GgufWriter().number("n", static_cast<GgufKind>(99), 0).file(), "has type 99");
  std::string counts = GgufWriter().file();
  counts[8] = counts[16] = '\0';
  counts[11] = '\1';  // 2^24 tensors
  refused_file(counts, "has 16777216 tensors; accepted: at most 65536");
  std::swap(counts[11], counts[19]);
  refused_file(counts, "has 16777216 entries of metadata");
  refused_file(GgufWriter().text("k", "a").text("k", "b").file(), "has the key 'k' twice");
  refused_file(GgufWriter().text(std::string("\n\x01k"), "a").text("\n\x01k", "b").file(), "'\\x0a\\x01k' twice");
}

BOOST_AUTO_TEST_CASE(hostile_tensors) {
  const auto of = [](auto... tensor) { return GgufWriter().tensor(tensor...).data(std::string(64, 'n')).file(); };
  using Shape = std::vector<std::uint64_t>;
  refused_file(of("t", Shape{1, 1, 1, 1, 1}, 0U, 0U), "has 5 dimensions; accepted: at most 4");
  refused_file(of("t", Shape{4, 0}, 0U, 0U), "has 0 in dimension 1");
  refused_file(of("t", Shape{std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0U, 0U), "in dimension 1");
  refused_file(of("t", Shape{33}, 3U, 0U), "Q4_1 in blocks of 32 numbers, and its rows have 33");
  refused_file(of("t", Shape{17}, 0U, 0U), "tensor 't' would end at byte 68 of the data, which have 64");
  refused_file(of("t", Shape{1}, 0U, 96U), "would end");
  refused_file(of("t", Shape{1}, 0U, std::numeric_limits<std::uint64_t>::max() - 31), "would end");
  refused_file(of("t", Shape{1}, 0U, 8U), "begins at 8, which is no multiple of 32");
  refused_file(of("t", Shape{1}, 99U, 96U), "would end");
  refused_file(GgufWriter().tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 0).data(std::string(64, 'n')).file(),
               "has tensor 't' twice");
  for (const std::uint32_t alignment : {0U, 3U, 1U << 21}) {
    refused_file(GgufWriter().number("general.alignment", GgufKind::uint32, alignment).file(), "general.alignment");
  }
}

}  // namespace blocktrain::trainer
