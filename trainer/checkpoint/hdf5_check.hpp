#pragma once
/// Calls into HDF5, checked. The usual builds of HDF5 are not thread-safe, so whoever calls it holds an Hdf5Session:
/// a process-wide lock. Errors become LibraryError with HDF5's own words; HDF5 itself prints nothing.

#include <hdf5.h>

#include <mutex>
#include <string>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

/// Sole use of HDF5 by one thread, for as long as it lives; any thread may take it, one takes it once at a time.
class Hdf5Session {
 public:
  Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
};

/// HDF5's error stack in one line, outermost call first; clears it.
std::string hdf5_error_text();

/// Returns `result`, or throws LibraryError when it is negative, HDF5's way to say that a call failed.
template <class Result>
Result check_hdf5(Result result, const char* call, const char* file, int line) {
  if (result < 0) throw_library_error(call, file, line, hdf5_error_text());
  return result;
}

}  // namespace blocktrain::trainer

/// The value of an HDF5 call, checked.
#define BLOCKTRAIN_HDF5(call) ::blocktrain::trainer::check_hdf5((call), #call, __FILE__, __LINE__)
