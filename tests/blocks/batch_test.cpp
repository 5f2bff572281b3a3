#include "blocks/batch.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

#include "blocks/architectures/architectures.hpp"
#include "blocks/objectives/objectives.hpp"
#include "kernels/error.hpp"
#include "tests/blocks/support.hpp"

namespace blocktrain::blocks {
namespace {

using kernels::Arena;
using kernels::DType;

const SampleLayout layout{
    {{"image", DType::float32, {2, 3, 4}}, {"label", DType::int32, {}}, {"tokens", DType::int32, {5}}}, 5, 7};

}  // namespace

BOOST_AUTO_TEST_CASE(fields_are_found_by_name) {
  BOOST_TEST(layout.index_of("tokens") == 2u);
  BOOST_TEST(layout.field("image").size() == 24);
  BOOST_TEST(layout.field("label").size() == 1);
  BOOST_CHECK_EXCEPTION(layout.index_of("sound"), InputError, [](const InputError& e) {
    const std::string what = e.what();
    return what.find("'sound'") != std::string::npos && what.find("image, label, tokens") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(a_batch_is_bound_field_by_field_and_cut_by_samples) {
  Arena arena = Arena::host("batch", 4096);
  Batch batch = bind_batch(arena, layout, 6);
  batch.step = 9;
  batch.first_sample = 100;
  BOOST_TEST(batch.samples() == 6);
  BOOST_TEST(batch.fields[0].rank == 4);
  BOOST_TEST(batch.fields[0].row_size() == 24);
  BOOST_TEST(batch.fields[1].rank == 1);
  BOOST_TEST((batch.fields[2].dtype == DType::int32 && batch.fields[2].dim(1) == 5));
  BOOST_TEST(batch.fields[3].empty());
  const Batch part = batch.rows({2, 5});
  BOOST_TEST(part.samples() == 3);
  BOOST_TEST(part.step == 9u);
  BOOST_TEST(part.first_sample == 102u);
  BOOST_TEST(part.fields[0].data == batch.fields[0].as<float>() + 48);
  BOOST_TEST(part.fields[2].data == batch.fields[2].as<std::int32_t>() + 10);
  BOOST_TEST(part.fields[3].empty());
}

BOOST_AUTO_TEST_CASE(conditions_alone_make_a_batch) {
  Arena arena = Arena::host("batch", 256);
  Batch batch;
  BOOST_TEST(batch.samples() == 0);
  batch.fields[1] = arena.allocate(DType::int32, {4});
  BOOST_TEST(batch.samples() == 4);
  BOOST_TEST(batch.rows({1, 3}).samples() == 2);
  BOOST_TEST(batch.rows({1, 3}).fields[0].empty());
}

BOOST_AUTO_TEST_CASE(what_an_architecture_is_trained_by_is_there) {
  BOOST_REQUIRE(!architectures().empty());
  for (const Architecture& a : architectures()) {
    BOOST_TEST(find_architecture(a.name) == &a);
    BOOST_TEST(find_objective(a.objective) != nullptr);
  }
  BOOST_TEST(find_architecture("none such") == nullptr);
  BOOST_TEST(find_objective("none such") == nullptr);
}

BOOST_AUTO_TEST_CASE(dit_asks_the_data_for_images_and_labels) {
  ParameterLayout parameters;
  const DitConfig c = test::small_config();
  SampleLayout data = test::dit_layout(c);
  data.classes = 5;
  const auto network = make_dit(c, data, {0, 1, 0, 1}, parameters);
  for (const Parameter& p : parameters.parameters()) {
    if (p.name == "blocks.0.class_embedding.table") BOOST_TEST(p.shape[0] == 6);  // one for "none"
  }
  for (const SampleLayout& other : {SampleLayout{{data.fields[0]}, 1, 5}, SampleLayout{{data.fields[1]}, 1, 5}}) {
    ParameterLayout unused;
    BOOST_CHECK_THROW(make_dit(c, other, {0, 1, 0, 1}, unused), InputError);
  }
}

}  // namespace blocktrain::blocks
