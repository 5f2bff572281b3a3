#include "trainer/commands/under_mpi.hpp"

#include <exception>

#include "comm/mpi/mpi_world.hpp"
#include "comm/nccl/nccl_library.hpp"
#include "kernels/device.hpp"
#include "kernels/error.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/output.hpp"

namespace blocktrain::trainer {
namespace {

/// The error of a rank: said once, by whoever throws it; others know that it was said.
int explain(const std::exception& e) {
  if (const auto* quiet = dynamic_cast<const QuietExit*>(&e)) return quiet->code();
  complain(message_of(e));
  return dynamic_cast<const InputError*>(&e) != nullptr ? 2 : 1;
}

}  // namespace

int under_mpi(const std::function<int(comm::Communicator& world)>& work) {
  // NCCL is set up through the environment, which MPI's threads read.
  if (kernels::cuda_devices(nullptr) > 0) comm::nccl_library();
  auto mpi = comm::MpiWorld::start();
  int code = 0;
  try {
    code = work(mpi->world());
  } catch (const QuietExit& e) {
    code = e.code();  // all ranks are on their way out
  } catch (const InputError& e) {
    code = explain(e);  // found by all_or_none: the others know
  } catch (const std::exception& e) {
    code = explain(e);
    // The others may be waiting for this rank.
    mpi->world().abort(code);
  }
  try {
    mpi->finish();
  } catch (const std::exception& e) {
    complain(message_of(e));
    mpi->world().abort(1);
  }
  return code;
}

}  // namespace blocktrain::trainer
