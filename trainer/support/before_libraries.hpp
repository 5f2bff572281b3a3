#pragma once
/// Functions that look at how the process was started before any library changes it.

/// Has `function`, a `void function()` that uses nothing of the C++ library, called before the initialisers of every
/// library (.preinit_array runs before all of .init_array), so before a runtime of OpenMP binds the thread or one of
/// MPI installs its handlers. Once in a source, at namespace scope. Nothing under the sanitizers: their own begin there
/// too, and nothing of a program may run before them; callers look again later.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BLOCKTRAIN_BEFORE_LIBRARIES(function) [[maybe_unused]] void (*const function##_not_called)() = function;
#else
#define BLOCKTRAIN_BEFORE_LIBRARIES(function)                                                         \
  void function##_before_libraries(int, char**, char**) { function(); }                               \
  [[gnu::used, gnu::section(".preinit_array")]] void (*const function##_entry)(int, char**, char**) = \
      function##_before_libraries;
#endif
