// Files of format version 1 stay readable: a run committed with this test (tests/fixtures/checkpoint-v1) is resumed.

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "tests/fixtures/checkpoint-v1/state.hpp"
#include "tests/trainer/checkpoint/support.hpp"
#include "trainer/checkpoint/resume.hpp"

namespace blocktrain::trainer {
namespace {

BOOST_AUTO_TEST_CASE(version_1_is_read) {
  const char* source = std::getenv("BLOCKTRAIN_TEST_SOURCE_DIR");
  BOOST_REQUIRE_MESSAGE(source != nullptr, "BLOCKTRAIN_TEST_SOURCE_DIR is not set; ctest sets it");
  const std::filesystem::path run = std::filesystem::path(source) / "tests/fixtures/checkpoint-v1";
  const ResumePlan plan = find_resume_points(run, checkpoint_v1::experiment, checkpoint_v1::blocks, false);
  BOOST_TEST(plan.found);
  BOOST_TEST(plan.warnings.empty());
  for (int block = 0; block < checkpoint_v1::blocks; ++block) {
    const ResumePoint& point = plan.blocks[static_cast<std::size_t>(block)];
    BOOST_TEST(point.step == checkpoint_v1::steps[block]);
    BOOST_REQUIRE(point.file.has_value());
    const auto parameters = checkpoint_v1::parameters(block);
    std::vector<std::vector<float>> tables(4, std::vector<float>(checkpoint_v1::elements, -1000.0f));
    const bool average = block == 0;
    const BlockFileHeader found =
        read_block_file(checkpoints_folder(run) / point.file->name, checkpoint_v1::header(block), parameters,
                        {tables[0], tables[1], tables[2], average ? std::span<float>(tables[3]) : std::span<float>()});
    BOOST_TEST(found.average == average);
    for (int t = 0; t < (average ? 4 : 3); ++t) {
      for (const blocks::Parameter& p : parameters) {
        for (auto i = static_cast<std::size_t>(p.offset); i < static_cast<std::size_t>(p.offset + p.size); ++i) {
          BOOST_TEST(tables[static_cast<std::size_t>(t)][i] == checkpoint_v1::value(block, t, i));
        }
      }
    }
  }
}

}  // namespace
}  // namespace blocktrain::trainer
