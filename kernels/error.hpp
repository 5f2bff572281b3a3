#pragma once
/// Errors of blocktrain. Two kinds matter to a user, and the exit code of the program follows from them:
/// InputError (exit 2) says that something handed to the program is wrong and how to put it right;
/// every other exception (exit 1) says that the run failed.

#include <exception>
#include <stdexcept>
#include <string>

namespace blocktrain {

/// The user's input is wrong: a config, a command line, a data file, a checkpoint. The message names
/// the file, line or key, what was found and what is accepted. Exit code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The run failed for a reason outside the input: a lost rank, a full disk, a library's error. Exit code 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A call into a library (MPI, NCCL, CUDA, HDF5, the operating system) failed.
/// The message quotes the call, its place, the library's own words, and the rank (process_rank()).
class LibraryError : public RunError {
 public:
  using RunError::RunError;
};

/// Rank of this process in the world, for messages; -1 until set_process_rank was called.
int process_rank() noexcept;
void set_process_rank(int rank) noexcept;

/// What `error` says, for people. Memory that the system refused (std::bad_alloc, which says nothing) is explained by
/// the limits of this process.
std::string message_of(const std::exception& error);

/// The limits of this process on memory and threads, in words that name the option of ulimit which changes each.
std::string process_limits();

/// Throws LibraryError "rank R: CALL failed at FILE:LINE: DETAIL". The one exit of every check macro.
[[noreturn]] void throw_library_error(const char* call, const char* file, int line, const std::string& detail);

/// Throws std::logic_error naming the broken precondition: a bug in blocktrain, not in its input.
[[noreturn]] void throw_contract_violation(const char* condition, const char* file, int line);

}  // namespace blocktrain

/// Checks a precondition of an internal interface in every build type; the cost is one branch.
#define BLOCKTRAIN_EXPECTS(condition) \
  (static_cast<bool>(condition) ? void(0) : ::blocktrain::throw_contract_violation(#condition, __FILE__, __LINE__))
