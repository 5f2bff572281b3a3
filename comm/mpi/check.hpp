#pragma once
/// The check macro of MPI calls. Only the sources of comm/mpi include this header, and through it mpi.h.

#include <mpi.h>

#include <string>

namespace blocktrain::comm::mpi {

/// MPI_Error_string of `code`.
std::string error_text(int code);

/// Throws LibraryError unless `code` is MPI_SUCCESS.
void check(int code, const char* call, const char* file, int line);

}  // namespace blocktrain::comm::mpi

/// Makes the call; a failure becomes LibraryError with the rank, the call's text, its place and MPI's words.
#define BLOCKTRAIN_MPI(call) ::blocktrain::comm::mpi::check((call), #call, __FILE__, __LINE__)
