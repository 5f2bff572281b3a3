#pragma once
/// How ranks end together: the error of one is said once, and all of them end with its exit code.

#include <exception>
#include <functional>

#include "comm/communicator.hpp"

namespace blocktrain::trainer {

/// Thrown where another rank has already said what is wrong: end with this code and say nothing.
class QuietExit : public std::exception {
 public:
  explicit QuietExit(int code) : code_(code) {}
  int code() const { return code_; }
  const char* what() const noexcept override { return "another rank has failed"; }

 private:
  int code_;
};

/// Runs `work` on this rank, then asks all ranks (a collective) how it went. If it failed anywhere, rank 0
/// throws the error of the lowest failing rank (InputError if that was one, else RunError) and the others QuietExit.
void all_or_none(comm::Communicator& world, const std::function<void()>& work);

}  // namespace blocktrain::trainer
