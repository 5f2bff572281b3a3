#include "kernels/arena.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <utility>

using namespace blocktrain;
using namespace blocktrain::kernels;

namespace {

/// What some owner binds: odd sizes of every type, some of it twice over the same memory.
void bind(Arena& arena) {
  arena.allocate(DType::float32, {3, 5});
  arena.allocate(DType::float64, {7});
  arena.rewind();
  arena.allocate(DType::float32, {100, 3});
  arena.allocate(DType::int32, {1});
  arena.allocate(DType::float32, {2, 2, 2, 3});
  arena.rewind();
  arena.allocate(DType::int32, {9});
}

BOOST_AUTO_TEST_CASE(what_is_measured_is_what_is_taken) {
  Arena planned = Arena::measuring("plan");
  bind(planned);
  BOOST_TEST(planned.measures_only());
  // 1200 bytes, up to 1216 = 19 * 64; 4 bytes at 1216; 96 bytes at 1280.
  BOOST_TEST(planned.peak() == 1376u);

  Arena taken = Arena::host("run", planned.peak());
  bind(taken);
  BOOST_TEST(taken.peak() == planned.peak());
  BOOST_TEST(taken.capacity() == planned.peak());
  BOOST_TEST(!taken.measures_only());
}

BOOST_AUTO_TEST_CASE(a_full_arena_throws_and_names_itself) {
  Arena planned = Arena::measuring("plan");
  bind(planned);
  Arena small = Arena::host("too small", planned.peak() - 1);
  BOOST_CHECK_EXCEPTION(bind(small), std::logic_error, [](const std::logic_error& e) {
    return std::string(e.what()).find("too small") != std::string::npos;
  });
  // What fitted is still accounted for, and the arena still works.
  small.rewind();
  BOOST_CHECK_NO_THROW(small.allocate(DType::float32, {1}));
}

BOOST_AUTO_TEST_CASE(tensors_are_zeroed_aligned_and_apart) {
  Arena arena = Arena::host("test", 4096);
  const Tensor a = arena.allocate(DType::float32, {5}), b = arena.allocate(DType::float64, {3});
  for (const Tensor& t : {a, b}) BOOST_TEST(reinterpret_cast<std::uintptr_t>(t.data) % Arena::alignment == 0u);
  BOOST_TEST(static_cast<std::byte*>(b.data) - static_cast<std::byte*>(a.data) == 64);
  for (int i = 0; i < 5; ++i) BOOST_TEST(a.as<float>()[i] == 0);
  for (int i = 0; i < 3; ++i) BOOST_TEST(b.as<double>()[i] == 0);
  BOOST_TEST(a.contiguous());
}

BOOST_AUTO_TEST_CASE(rewinding_starts_over_at_the_beginning) {
  Arena arena = Arena::host("test", 4096);
  const Tensor first = arena.allocate(DType::float32, {500});
  arena.rewind();
  const Tensor second = arena.allocate(DType::float32, {10});
  BOOST_TEST(first.data == second.data);
  BOOST_TEST(arena.peak() == 2000u);
}

BOOST_AUTO_TEST_CASE(rewinding_to_a_mark_keeps_what_is_before_it) {
  Arena arena = Arena::host("test", 4096);
  const Tensor stays = arena.allocate(DType::float32, {10});
  const std::size_t mark = arena.mark();
  const Tensor first = arena.allocate(DType::float32, {100});
  arena.rewind_to(mark);
  const Tensor second = arena.allocate(DType::float32, {5});
  BOOST_TEST(first.data == second.data);
  BOOST_TEST(stays.data != second.data);
  BOOST_TEST(arena.peak() == 64u + 400u);
  // A mark beyond what is bound now is fine up to the peak, not beyond it.
  arena.rewind_to(arena.peak());
  BOOST_TEST(arena.mark() == arena.peak());
  BOOST_CHECK_THROW(arena.rewind_to(arena.peak() + 1), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_measuring_arena_hands_out_views_without_memory) {
  Arena arena = Arena::measuring("plan");
  const Tensor t = arena.allocate(DType::float32, {1 << 20, 1 << 20});
  BOOST_TEST(t.data == nullptr);
  BOOST_TEST(t.size() == std::int64_t{1} << 40);
  BOOST_TEST(arena.peak() == std::size_t{1} << 42);
  BOOST_TEST(arena.data() == nullptr);
}

BOOST_AUTO_TEST_CASE(memory_is_resident_once_it_is_used) {
  constexpr std::size_t bytes = std::size_t{8} << 20;
  Arena arena = Arena::host("test", bytes);
  BOOST_TEST(arena.resident() == 0u);
  const Tensor t = arena.allocate(DType::float32, {bytes / 4});
  for (std::int64_t i = 0; i < t.size(); ++i) t.as<float>()[i] = 1;
  BOOST_TEST(arena.resident() == bytes);
}

BOOST_AUTO_TEST_CASE(moving_hands_over_the_memory) {
  Arena a = Arena::host("first", 4096);
  std::byte* const memory = a.data();
  Arena b = std::move(a);
  BOOST_TEST(b.data() == memory);
  BOOST_TEST(b.purpose() == "first");
  Arena c = Arena::host("second", 128);
  c = std::move(b);
  BOOST_TEST(c.data() == memory);
  BOOST_TEST(c.capacity() == 4096u);
}

BOOST_AUTO_TEST_CASE(an_arena_of_no_bytes_still_is_one) {
  Arena arena = Arena::host("empty", 0);
  BOOST_TEST(!arena.measures_only());
  BOOST_TEST(arena.allocate(DType::float32, {0}).size() == 0);
  BOOST_CHECK_THROW(arena.allocate(DType::float32, {1}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_refusal_of_the_system_is_an_error_of_the_run) {
  BOOST_CHECK_EXCEPTION(Arena::host("everything", std::size_t{1} << 60), RunError, [](const RunError& e) {
    return std::string(e.what()).find("everything") != std::string::npos;
  });
}

}  // namespace
