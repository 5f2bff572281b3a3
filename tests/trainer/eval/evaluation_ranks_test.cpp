// How ranks share work: pieces and their order, results that come early, and ends without waiting forever.

#include "trainer/eval/evaluation_ranks.hpp"

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <thread>

#include "comm/local/local_world.hpp"
#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

using Bytes = EvaluationRanks::Bytes;
using std::chrono::milliseconds;
constexpr milliseconds patience{60000};

/// A result that says whose it is; the first has no bytes.
Bytes result_of(int phase, std::int64_t piece) {
  return Bytes(static_cast<std::size_t>(piece), static_cast<std::byte>(16 * phase + piece));
}

/// Whether `results` are those of `pieces` pieces, in their order.
bool complete(const std::vector<Bytes>& results, int phase, std::int64_t pieces) {
  if (results.size() != static_cast<std::size_t>(pieces)) return false;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    if (results[static_cast<std::size_t>(piece)] != result_of(phase, piece)) return false;
  }
  return true;
}

/// What went wrong on each rank; empty where nothing did.
std::vector<std::string> errors_of(int ranks, const std::function<void(comm::Communicator&)>& body) {
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  try {
    comm::run_local_world(ranks, [&](comm::Communicator& world) {
      try {
        body(world);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(world.rank())] = e.what();
        throw;
      }
    });
  } catch (const std::exception&) {
    // Some rank's, which is among them.
  }
  return errors;
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("the message was: " << text);
  return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(results_have_the_order_of_the_pieces_on_rank_0) {
  for (const int ranks : {1, 2, 3, 5}) {
    std::atomic<int> right = 0, done = 0;
    comm::run_local_world(ranks, [&](comm::Communicator& world) {
      EvaluationRanks shared(world, patience);
      int phase = 0;
      for (const std::int64_t pieces : {7, 0, 1, 3, 12}) {
        const auto work = [&](std::int64_t piece) {
          ++done;
          return result_of(phase, piece);
        };
        const std::vector<Bytes> results = shared.run(pieces, work);
        right += world.rank() == 0 ? complete(results, phase, pieces) : results.empty();
        ++phase;
      }
      shared.finish();
    });
    BOOST_TEST(right == 5 * ranks);
    BOOST_TEST(done == 23);  // each piece once
  }
}

BOOST_AUTO_TEST_CASE(one_process_needs_no_world) {
  EvaluationRanks alone;
  BOOST_TEST(alone.size() == 1);
  BOOST_TEST(alone.leads());
  BOOST_TEST(complete(alone.run(9, [](std::int64_t piece) { return result_of(0, piece); }), 0, 9));
  BOOST_CHECK_THROW(alone.together([] { throw std::bad_alloc(); }), std::bad_alloc);
  alone.finish();
  BOOST_TEST(alone.world().traffic().bytes[static_cast<std::size_t>(comm::TrafficPurpose::control)] == 0U);
}

BOOST_AUTO_TEST_CASE(results_of_later_phases_are_kept) {
  constexpr int phases = 4;
  std::atomic<int> ahead = 0;
  std::atomic<bool> right = true;
  comm::run_local_world(3, [&](comm::Communicator& world) {
    EvaluationRanks shared(world, patience);
    for (int phase = 0; phase < phases; ++phase) {
      const auto work = [&](std::int64_t piece) {
        // Rank 0's first piece takes longer than all that the others have to do.
        while (world.rank() == 0 && ahead < 2) std::this_thread::yield();
        return result_of(phase, piece);
      };
      const std::vector<Bytes> results = shared.run(8, work);
      if (world.rank() == 0 && !complete(results, phase, 8)) right = false;
    }
    if (world.rank() != 0) ++ahead;
    shared.finish();
  });
  BOOST_TEST(right);
}

BOOST_AUTO_TEST_CASE(progress_is_told_on_rank_0_as_results_come) {
  std::vector<std::int64_t> told;
  comm::run_local_world(3, [&](comm::Communicator& world) {
    EvaluationRanks shared(world, patience);
    const auto work = [](std::int64_t piece) { return result_of(0, piece); };
    shared.run(10, work, [&](std::int64_t done, std::int64_t total) {
      told.push_back(world.rank() == 0 && total == 10 ? done : -1);
    });
    shared.finish();
  });
  BOOST_REQUIRE(!told.empty());
  BOOST_TEST(std::is_sorted(told.begin(), told.end()));
  BOOST_TEST(told.front() >= 1);
  BOOST_TEST(told.back() == 10);
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_ends_all) {
  for (const int culprit : {0, 2}) {
    const std::vector<std::string> errors = errors_of(3, [&](comm::Communicator& world) {
      EvaluationRanks shared(world, patience);
      const auto work = [&](std::int64_t piece) {
        if (world.rank() == culprit && piece > 2) throw RunError("the disk of rank " + std::to_string(culprit));
        return result_of(0, piece);
      };
      shared.run(9, work);
      shared.finish();
    });
    for (const std::string& error : errors) BOOST_TEST(contains(error, "the disk of rank " + std::to_string(culprit)));
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_works_long_is_waited_for) {
  bool right = false;
  comm::run_local_world(2, [&](comm::Communicator& world) {
    EvaluationRanks shared(world, milliseconds(2500));
    const auto work = [&](std::int64_t piece) {
      if (world.rank() == 1) std::this_thread::sleep_for(milliseconds(3500));
      return result_of(0, piece);
    };
    const std::vector<Bytes> results = shared.run(2, work);
    if (world.rank() == 0) right = complete(results, 0, 2);
    shared.finish();
  });
  BOOST_TEST(right);
}

BOOST_AUTO_TEST_CASE(a_silent_rank_ends_the_wait_and_is_named) {
  const auto work = [](std::int64_t piece) { return result_of(0, piece); };
  for (const int silent : {0, 1}) {
    std::promise<void> given_up;
    std::shared_future<void> end = given_up.get_future().share();
    std::string error;
    comm::run_local_world(2, [&](comm::Communicator& world) {
      if (world.rank() == silent) return end.wait();
      try {
        EvaluationRanks shared(world, milliseconds(200));
        shared.run(4, work);
        shared.finish();
      } catch (const RunError& e) {
        error = e.what();
      }
      given_up.set_value();
    });
    BOOST_TEST(contains(error, "nothing was heard of rank " + std::to_string(silent) + " for 0.2 s"));
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_falls_silent_later_is_named_alone) {
  std::promise<void> given_up;
  std::shared_future<void> end = given_up.get_future().share();
  std::string error;
  comm::run_local_world(3, [&](comm::Communicator& world) {
    {
      EvaluationRanks shared(world, milliseconds(2500));
      const auto work = [](std::int64_t piece) { return result_of(0, piece); };
      if (world.rank() == 1) shared.run(1, work);  // of which it has no piece
      if (world.rank() == 0) {
        try {
          shared.run(1, work);
          shared.run(6, work);
        } catch (const RunError& e) {
          error = e.what();
        }
        given_up.set_value();
      }
      if (world.rank() == 2) {
        shared.run(1, work);
        shared.run(6, work);
        end.wait();
      }
    }
    end.wait();
  });
  BOOST_TEST(contains(error, "nothing was heard of rank 1 for 2.5 s"));
}

}  // namespace blocktrain::trainer
