// What is common to all tasks: the list, and a task of which nothing can be generated.

#include "trainer/tasks/task.hpp"

#include <boost/test/unit_test.hpp>
#include <set>
#include <string_view>

#include "kernels/error.hpp"
#include "tests/trainer/eval/support.hpp"
#include "trainer/eval/eval_report.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/tasks/generate_arguments.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
using namespace testing;

namespace {

/// The task of the small runs, but for what it makes: nothing.
class Silent : public Task {
 public:
  std::string_view name() const override { return "silent"; }
  DataOutline outline(const Config& config) const override { return images().outline(config); }
  std::unique_ptr<Samples> open(const Config& config) const override { return images().open(config); }
  std::string description(const DataFacts&) const override { return "nothing to see"; }
  std::size_t device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout,
                           std::int64_t batch) const override {
    return images().device_bytes(block, layout, batch);
  }
  EvalReport evaluate(TrainedNetwork&, TrainedNetwork*, EvalProgress&) const override { return {}; }

 private:
  static const Task& images() { return *tasks().front(); }
};

const Task& silent_task_of(const Config&) {
  static const Silent task;
  return task;
}

}  // namespace

BOOST_AUTO_TEST_CASE(tasks_are_known_by_their_names) {
  std::set<std::string_view> names;
  for (const Task* task : tasks()) names.insert(task->name());
  BOOST_TEST(names.size() == tasks().size());
  BOOST_TEST(task_of(Config()).name() == "images");
}

BOOST_AUTO_TEST_CASE(a_task_that_makes_nothing_refuses_to_generate) {
  TrainedNetwork network(silent_task_of, small_run(), {});
  BOOST_TEST(network.task().name() == "silent");
  BOOST_TEST(
      refuses("the task 'silent' makes nothing", [&] { network.task().generate(network, GenerateArguments{}); }));
}

}  // namespace blocktrain::trainer
