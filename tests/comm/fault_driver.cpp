// One way for a job to go wrong, by name; run under mpirun by expect_exit.cmake. Rank 1 is the one it happens to.
// It behaves as the program does: an error is printed, then the whole job is ended by abort.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>

#include "comm/mpi/mpi_world.hpp"
#include "kernels/error.hpp"

namespace {

using namespace blocktrain;
using namespace blocktrain::comm;
using std::chrono::milliseconds;

constexpr int victim = 1;

/// All-reduces large enough to be under way when something happens; at round 20, `event` happens to the victim.
void reduce_forever(Communicator& world, const std::function<void()>& event) {
  std::vector<float> data(1 << 20, 1.0f);
  for (int round = 0;; ++round) {
    if (round == 20 && world.rank() == victim) event();
    world.all_reduce(data, TrafficPurpose::replica);
  }
}

void killed(MpiWorld& mpi) {
  reduce_forever(mpi.world(), [] { raise(SIGKILL); });
}

void stopped(MpiWorld& mpi) {
  mpi.world().set_deadline(milliseconds(1500));
  reduce_forever(mpi.world(), [] { raise(SIGSTOP); });
}

void throws(MpiWorld& mpi) {
  reduce_forever(mpi.world(), [] { throw RunError("the loss is not finite"); });
}

void leaves(MpiWorld& mpi) {
  reduce_forever(mpi.world(), [] { _exit(0); });
}

/// The end waits no longer than the world does.
void never_finishes(MpiWorld& mpi) {
  mpi.world().set_deadline(milliseconds(1500));
  if (mpi.world().rank() == victim) raise(SIGSTOP);
  mpi.finish();
}

/// A message too large to be buffered by MPI, to a rank that takes nothing.
void never_takes(MpiWorld& mpi) {
  mpi.world().barrier(TrafficPurpose::control);
  if (mpi.world().rank() == victim) raise(SIGSTOP);
  if (mpi.world().rank() != 0) mpi.finish();
  usleep(200000);  // lets the victim stop first
  mpi.world().set_deadline(milliseconds(1500));
  mpi.world().post(victim, 0, std::vector<std::byte>(64 << 20), TrafficPurpose::control);
  mpi.world().flush();
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, void (*)(MpiWorld&)> modes{{"killed", killed},
                                                         {"stopped", stopped},
                                                         {"throws", throws},
                                                         {"leaves", leaves},
                                                         {"never_finishes", never_finishes},
                                                         {"never_takes", never_takes}};
  const std::string name = argc == 2 ? argv[1] : "";
  MpiOptions options;
  if (name != "never_finishes") options.finish_deadline = milliseconds(60000);
  if (name == "unwinds") {  // the world is destroyed by the exception, while the others wait in finish()
    try {
      const auto mpi = MpiWorld::start(options);
      if (mpi->world().rank() == victim) throw RunError("nobody catches this inside");
    } catch (const std::exception&) {
    }
    return 0;
  }
  const auto mode = modes.find(name);
  if (mode == modes.end()) {
    std::fprintf(stderr, "usage: %s killed|stopped|throws|leaves|never_finishes|never_takes|unwinds\n", argv[0]);
    return 2;
  }
  const auto mpi = MpiWorld::start(options);
  try {
    mode->second(*mpi);
    std::fprintf(stderr, "rank %d went on\n", process_rank());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    mpi->world().abort(3);
  }
}
