#pragma once
/// How long work tells how far it is.

#include <cstdint>
#include <functional>

namespace blocktrain::trainer {

/// How much of some work is done.
using ReportProgress = std::function<void(std::int64_t done, std::int64_t total)>;

}  // namespace blocktrain::trainer
