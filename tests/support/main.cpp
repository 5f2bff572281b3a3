// The main function of every test binary; each links Boost.Test's shared library.
#define BOOST_TEST_MODULE blocktrain
#include <boost/test/unit_test.hpp>
