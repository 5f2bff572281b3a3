#pragma once
/// For calls of libraries that may never return.

#include <chrono>
#include <functional>

namespace blocktrain::comm {

/// Runs `work` on a thread of its own; true if it ended within `patience`. Else the thread is left behind, detached,
/// and what `work` captured lives as long as the thread does: capture by value or shared pointer, nothing by reference.
/// What `work` throws is dropped. False, too, if the system has no more threads; what `work` captured then stays for
/// good.
bool ends_within(std::chrono::milliseconds patience, std::function<void()> work) noexcept;

}  // namespace blocktrain::comm
