#include "kernels/error.hpp"

#include <boost/test/unit_test.hpp>
#include <type_traits>

using namespace blocktrain;

namespace {

BOOST_AUTO_TEST_CASE(a_library_error_names_call_place_reason_and_rank) {
  const auto message = [] {
    try {
      throw_library_error("MPI_Send(buffer)", "comm/mpi/send.cpp", 42, "no such peer");
    } catch (const LibraryError& e) {
      return std::string(e.what());
    }
  };
  BOOST_TEST(process_rank() == -1);
  BOOST_TEST(message() == "MPI_Send(buffer) failed at comm/mpi/send.cpp:42: no such peer");
  set_process_rank(3);
  BOOST_TEST(process_rank() == 3);
  BOOST_TEST(message() == "rank 3: MPI_Send(buffer) failed at comm/mpi/send.cpp:42: no such peer");
  set_process_rank(-1);
}

BOOST_AUTO_TEST_CASE(a_broken_precondition_quotes_itself_and_its_place) {
  int calls = 0;
  const auto holds = [&] {
    ++calls;
    return true;
  };
  BLOCKTRAIN_EXPECTS(holds());
  BOOST_TEST(calls == 1);
  const auto names_it = [](const std::logic_error& e) {
    const std::string text = e.what();
    return text.find("calls > 1") != std::string::npos && text.find("error_test.cpp:") != std::string::npos;
  };
  BOOST_CHECK_EXCEPTION(BLOCKTRAIN_EXPECTS(calls > 1), std::logic_error, names_it);
}

BOOST_AUTO_TEST_CASE(the_kinds_of_errors_can_be_told_apart) {
  // The exit code hangs on this: 2 for InputError, 1 for everything else.
  BOOST_TEST((std::is_base_of_v<RunError, LibraryError>));
  BOOST_TEST((!std::is_base_of_v<RunError, InputError>));
  BOOST_TEST((!std::is_base_of_v<InputError, RunError>));
}

}  // namespace
