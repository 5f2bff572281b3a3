#pragma once
/// Data that are not there, which a plan may do without.

#include "kernels/error.hpp"

namespace blocktrain::trainer {

/// There is nothing at the path of the data, or none of the files of a data set in it: all else that is wrong with data
/// is a plain InputError.
struct DataAbsent : InputError {
  using InputError::InputError;
};

}  // namespace blocktrain::trainer
