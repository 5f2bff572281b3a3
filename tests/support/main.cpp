// The main function of every test binary; each links Boost.Test's shared library. Written out, since BOOST_TEST_MODULE
// would have to be defined before Boost.Test's header, which may be precompiled.
#include <boost/test/unit_test.hpp>

namespace {

bool name_the_suite() {
  boost::unit_test::framework::master_test_suite().p_name.value = "blocktrain";
  return true;
}

}  // namespace

int main(int argc, char** argv) { return boost::unit_test::unit_test_main(&name_the_suite, argc, argv); }
