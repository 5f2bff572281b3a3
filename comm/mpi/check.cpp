#include "comm/mpi/check.hpp"

#include "kernels/error.hpp"

namespace blocktrain::comm::mpi {

std::string error_text(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return "MPI error " + std::to_string(code);
  return std::string(text, static_cast<std::size_t>(length));
}

void check(int code, const char* call, const char* file, int line) {
  if (code != MPI_SUCCESS) throw_library_error(call, file, line, error_text(code));
}

}  // namespace blocktrain::comm::mpi
