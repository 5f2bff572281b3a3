#include "kernels/tensor.hpp"

#include <boost/test/unit_test.hpp>

using namespace blocktrain::kernels;

namespace {

BOOST_AUTO_TEST_CASE(a_view_knows_its_shape) {
  float memory[24] = {};
  const Tensor t(memory, DType::float32, {2, 3, 4});
  BOOST_TEST(t.rank == 3);
  BOOST_TEST(t.size() == 24);
  BOOST_TEST(t.bytes() == 96u);
  BOOST_TEST(t.row_size() == 12);
  BOOST_TEST(t.row_stride == 12);
  BOOST_TEST(t.dim(2) == 4);
  BOOST_TEST(t.contiguous());
  BOOST_TEST(!t.empty());
  BOOST_TEST(Tensor(memory, DType::float64, {3}).bytes() == 24u);
  BOOST_TEST(Tensor(memory, DType::int32, {3}).bytes() == 12u);
}

BOOST_AUTO_TEST_CASE(an_empty_view_is_not_a_view_of_nothing) {
  BOOST_TEST(Tensor().empty());
  BOOST_TEST(Tensor().size() == 0);
  const Tensor no_rows(nullptr, DType::float32, {0, 5});
  BOOST_TEST(!no_rows.empty());
  BOOST_TEST(no_rows.size() == 0);
}

BOOST_AUTO_TEST_CASE(rows_and_columns_are_views_of_the_same_memory) {
  float memory[12];
  for (int i = 0; i < 12; ++i) memory[i] = static_cast<float>(i);
  const Tensor t(memory, DType::float32, {3, 4});

  const Tensor last = t.rows(1, 3);
  BOOST_TEST(last.as<float>() == memory + 4);
  BOOST_TEST(last.dim(0) == 2);
  BOOST_TEST(last.contiguous());

  const Tensor middle = t.columns(1, 3);
  BOOST_TEST(middle.as<float>() == memory + 1);
  BOOST_TEST(middle.dim(1) == 2);
  BOOST_TEST(middle.row_stride == 4);
  BOOST_TEST(!middle.contiguous());
  BOOST_TEST(middle.size() == 6);

  const Tensor corner = middle.rows(2, 3).columns(1, 2);
  BOOST_TEST(*corner.as<float>() == 10);
  BOOST_TEST(corner.contiguous());  // one row alone
  BOOST_TEST(t.rows(1, 1).size() == 0);
}

BOOST_AUTO_TEST_CASE(reshaping_keeps_the_numbers) {
  float memory[12];
  const Tensor t(memory, DType::float32, {3, 4});
  const Tensor r = t.reshaped({2, 3, 2});
  BOOST_TEST(r.as<float>() == memory);
  BOOST_TEST(r.row_size() == 6);
  BOOST_CHECK_THROW(t.reshaped({5, 2}), std::logic_error);
  BOOST_CHECK_THROW(t.columns(0, 2).reshaped({6}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(wrong_use_is_refused) {
  float memory[12];
  const Tensor t(memory, DType::float32, {3, 4});
  BOOST_CHECK_THROW(t.as<double>(), std::logic_error);
  BOOST_CHECK_THROW(t.as<std::int32_t>(), std::logic_error);
  BOOST_CHECK_THROW(t.rows(2, 4), std::logic_error);
  BOOST_CHECK_THROW(t.rows(2, 1), std::logic_error);
  BOOST_CHECK_THROW(t.rows(-1, 1), std::logic_error);
  BOOST_CHECK_THROW(t.columns(0, 5), std::logic_error);
  BOOST_CHECK_THROW(t.reshaped({3, 2, 2}).columns(0, 1), std::logic_error);
  BOOST_CHECK_THROW(Tensor(memory, DType::float32, {}), std::logic_error);
  BOOST_CHECK_THROW(Tensor(memory, DType::float32, {1, 1, 1, 1, 1}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_view_without_memory_stays_without) {
  const Tensor planned(nullptr, DType::float32, {3, 4});
  BOOST_TEST(planned.rows(1, 2).data == nullptr);
  BOOST_TEST(planned.columns(1, 2).data == nullptr);
}

}  // namespace
