#pragma once
/// Threads of the program. A system that gives no thread is a limit that a person can change, and the message says so.

#include <functional>
#include <string>
#include <thread>

namespace blocktrain {

/// Starts a thread that receives no signals, so that those the program handles go to its first thread. `purpose`, e.g.
/// "a compute thread", is for the message. Throws RunError where the system gives no thread, naming the limits.
std::thread start_thread(const std::string& purpose, std::function<void()> work);

/// The same with the signals of the caller, for threads of libraries that handle some themselves.
std::thread start_thread_with_signals(const std::string& purpose, std::function<void()> work);

}  // namespace blocktrain
