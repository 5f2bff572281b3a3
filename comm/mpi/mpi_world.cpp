#include "comm/mpi/mpi_world.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <limits>

#include "comm/mpi/mpi_communicator.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {

MpiWorld::MpiWorld() = default;

bool MpiWorld::available() { return true; }

std::string MpiWorld::library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  BLOCKTRAIN_MPI(MPI_Get_library_version(text, &length));
  return text;  // some libraries count the end mark in the length
}

std::unique_ptr<MpiWorld> MpiWorld::start(const MpiOptions& options) {
  BLOCKTRAIN_EXPECTS(options.chunk_bytes >= 1 &&
                     options.chunk_bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  std::unique_ptr<MpiWorld> world(new MpiWorld);
  world->exceptions_at_start_ = std::uncaught_exceptions();
  world->finish_deadline_ = options.finish_deadline;
  world->engine_ = mpi::Engine::start(options);
  world->world_ = std::make_unique<mpi::MpiCommunicator>(world->engine_, world->engine_->world(), options.deadline);
  return world;
}

void MpiWorld::finish() {
  if (finished_) return;
  const auto deadline = finish_deadline_.value_or(static_cast<const mpi::MpiCommunicator&>(*world_).deadline());
  for (const auto& channel : engine_->channels()) channel->mailbox.flush(deadline);
  // Until all are here this rank still receives, so that nobody's flush waits for a rank inside MPI_Finalize.
  const auto closing = std::make_shared<mpi::Barrier>(engine_->world()->peers, mpi::Barrier::Kind::closing);
  engine_->run(closing, "the end of the run", deadline);
  engine_->stop(deadline);
  finished_ = true;
}

MpiWorld::~MpiWorld() {
  if (finished_ || !engine_) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    std::fprintf(stderr, "blocktrain: rank %d leaves MPI because of an error; ending the job\n", process_rank());
    engine_->abort(1);
  }
  try {
    finish();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "blocktrain: %s\n", error.what());
    _exit(1);
  }
}

}  // namespace blocktrain::comm
