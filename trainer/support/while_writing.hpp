#pragma once
/// Work that may take longer than others would wait for a silent rank: writing a checkpoint to a slow disk.

#include <chrono>
#include <functional>

namespace blocktrain::trainer {

/// Runs `write` on a thread of its own, and `meanwhile` on this one once every `period` until that has ended, but no
/// longer than `patience`: a rank whose disk never answers is to fall silent, so that the others give it up. Returns
/// when `write` has ended; throws what it threw, else what `meanwhile` threw. Where the system gives no thread, `write`
/// runs on this one.
void while_writing(const std::function<void()>& write, const std::function<void()>& meanwhile,
                   std::chrono::milliseconds period, std::chrono::milliseconds patience);

}  // namespace blocktrain::trainer
