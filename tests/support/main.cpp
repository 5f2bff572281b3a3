// The main function of every test binary; each links Boost.Test's shared library. Written out, since BOOST_TEST_MODULE
// would have to be defined before Boost.Test's header, which may be precompiled.
//
// Several sources share a binary, so each is a suite of its own, named after its path below tests/ (_ for /):
// --run_test=trainer_train_resume_test runs what stands in tests/trainer/train/resume_test.cpp.
#include <boost/test/tree/traverse.hpp>
#include <boost/test/tree/visitor.hpp>
#include <boost/test/unit_test.hpp>
#include <map>
#include <string>
#include <vector>

namespace {

namespace boost_test = boost::unit_test;

/// Finds what stands at the top of its source: the cases and suites of the master suite.
struct TopLevel : boost_test::test_tree_visitor {
  void visit(const boost_test::test_case& one) override { found.push_back(one.p_id); }
  bool test_suite_start(const boost_test::test_suite& suite) override {
    if (suite.p_id == boost_test::framework::master_test_suite().p_id) return true;
    found.push_back(suite.p_id);
    return false;
  }
  using boost_test::test_tree_visitor::visit;
  std::vector<boost_test::test_unit_id> found;
};

/// trainer_train_resume_test of .../tests/trainer/train/resume_test.cpp.
std::string suite_of(std::string source) {
  const std::string folder = "/tests/";
  if (const auto at = source.rfind(folder); at != std::string::npos) source.erase(0, at + folder.size());
  source.erase(source.rfind('.'));
  for (char& letter : source) {
    if (letter == '/' || letter == '-') letter = '_';
  }
  return source;
}

bool make_each_source_a_suite() {
  boost_test::test_suite& master = boost_test::framework::master_test_suite();
  master.p_name.value = "blocktrain";
  TopLevel top;
  boost_test::traverse_test_tree(master, top, true);
  std::map<std::string, boost_test::test_suite*> suites;
  for (const boost_test::test_unit_id id : top.found) {
    boost_test::test_unit& unit = boost_test::framework::get(id, boost_test::TUT_ANY);
    const std::string source(unit.p_file_name.begin(), unit.p_file_name.end());
    boost_test::test_suite*& suite = suites[suite_of(source)];
    if (suite == nullptr) {
      suite = BOOST_TEST_SUITE(suite_of(source));
      master.add(suite);
    }
    const boost_test::counter_t failures = unit.p_expected_failures;
    const unsigned timeout = unit.p_timeout;
    master.remove(id);
    suite->add(&unit, failures, timeout);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) { return boost::unit_test::unit_test_main(&make_each_source_a_suite, argc, argv); }
