// blocktrain train: ranks by mpirun or as threads, then the run.

#include <unistd.h>

#include <exception>
#include <string>
#include <vector>

#include "comm/launch.hpp"
#include "comm/local/local_world.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "kernels/device.hpp"
#include "kernels/error.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/commands/under_mpi.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/support/terminal.hpp"
#include "trainer/train/train.hpp"

namespace blocktrain::trainer {
namespace {

int train_under_mpi(const TrainRequest& request) {
  return under_mpi([&](comm::Communicator& world) { return train(world, request); });
}

int train_in_threads(const TrainRequest& request, int ranks) {
  // It is set up through the environment, which nothing may read at the same time.
  if (ranks > 1 && kernels::cuda_devices(nullptr) > 0) comm::nccl_library();
  std::vector<int> codes(static_cast<std::size_t>(ranks), 0);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks));
  comm::run_local_world(ranks, [&](comm::Communicator& world) {
    const auto me = static_cast<std::size_t>(world.rank());
    try {
      codes[me] = train(world, request);
    } catch (const QuietExit& e) {
      codes[me] = e.code();
    } catch (const InputError&) {
      errors[me] = std::current_exception();
    }
  });
  for (const std::exception_ptr& e : errors) {
    if (e) std::rethrow_exception(e);
  }
  return codes.front();
}

}  // namespace

int train_command(const TrainArguments& arguments) {
  install_stop_signals();
  const bool launched = comm::launched_by_mpirun();
  TrainRequest request;
  request.config_path = arguments.config;
  request.overrides = arguments.overrides;
  request.resume = arguments.resume;
  request.progress = arguments.quiet                   ? ProgressStyle::none
                     : watched_terminal(STDOUT_FILENO) ? ProgressStyle::live
                                                       : ProgressStyle::plain;
  if (launched) return train_under_mpi(request);
  const Config config = load_config(arguments.config, arguments.overrides);
  if (config.parallel.transport == TransportChoice::mpi) return train_under_mpi(request);
  return train_in_threads(request, config.parallel.ranks > 0 ? config.parallel.ranks : 1);
}

}  // namespace blocktrain::trainer
