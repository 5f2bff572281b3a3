// The training thread allocates nothing after its first step: malloc and its relatives are replaced by ones that
// count the calls of a thread that asked to be watched.

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "support.hpp"

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {
thread_local bool t_watched = false;
thread_local long t_allocations = 0;
void count() {
  if (t_watched) ++t_allocations;
}
}  // namespace

extern "C" {
void* malloc(std::size_t n) {
  count();
  return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  count();
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  count();
  return __libc_realloc(p, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  count();
  return __libc_memalign(alignment, n);
}
void* memalign(std::size_t alignment, std::size_t n) {
  count();
  return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t n) {
  count();
  *p = __libc_memalign(alignment, n);
  return *p == nullptr ? 12 : 0;
}
}

namespace blocktrain::trainer {
namespace {

/// Allocations of the training threads between the end of the first step of a block and the end of step 11; checkpoints
/// (every 5 steps) are in between.
long allocations(const std::string& run, int ranks, const std::vector<std::string>& overrides, bool provoke) {
  std::atomic<long> total{0};
  const auto watch = [&](OwnedBlock& block, std::int64_t step) {
    if (step == 0 && block.block == 0) {
      t_allocations = 0;
      t_watched = true;
    }
    if (provoke && step == 5 && t_watched) std::free(std::malloc(24));
    if (step == 11 && t_watched) {
      t_watched = false;
      total += t_allocations;
    }
  };
  BOOST_REQUIRE_EQUAL(testing::train_small(run, ranks, overrides, false, watch), 0);
  return total;
}

BOOST_AUTO_TEST_CASE(a_training_thread_allocates_nothing_after_its_first_step) {
  const testing::TemporaryFolder folder;
  BOOST_TEST(allocations(folder.path("alone"), 4, {}, false) == 0);
  BOOST_TEST(allocations(folder.path("two-threads"), 4, {"parallel.threads=2"}, false) == 0);
  BOOST_TEST(allocations(folder.path("micro"), 4, {"data.micro_batch=7"}, false) == 0);
  BOOST_TEST(
      allocations(folder.path("checkpointed"), 1,
                  {"blocks.training=end_to_end", "data.micro_batch=7", "parallel.activation_checkpointing=layer"},
                  false) == 0);
  BOOST_TEST(allocations(folder.path("end-to-end"), 1, {"blocks.training=end_to_end"}, false) == 0);
}

BOOST_AUTO_TEST_CASE(replicas_allocate_nothing_either) {
  const testing::TemporaryFolder folder;
  BOOST_TEST(allocations(folder.path("replicas"), 8, {}, false) == 0);
}

BOOST_AUTO_TEST_CASE(nor_do_blocks_that_share_a_table) {
  const testing::TemporaryFolder folder;
  const std::string vit = "model.architecture=vit", synchronized = "objective.target_embedding=synchronized";
  BOOST_TEST(allocations(folder.path("synchronized"), 4, {vit, synchronized}, false) == 0);
  BOOST_TEST(allocations(folder.path("together"), 2, {vit, synchronized}, false) == 0);
  BOOST_TEST(allocations(folder.path("replicas"), 8, {vit, synchronized}, false) == 0);
  BOOST_TEST(allocations(folder.path("periodic"), 4,
                         {vit, "objective.target_embedding=periodic", "objective.average_every_steps=3"}, false) == 0);
}

BOOST_AUTO_TEST_CASE(an_allocation_would_be_noticed) {
  const testing::TemporaryFolder folder;
  BOOST_TEST(allocations(folder.path("provoked"), 4, {}, true) == 1);
}

}  // namespace
}  // namespace blocktrain::trainer
