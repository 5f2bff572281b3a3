#pragma once
/// Memory of the emulated GPU. Device memory can be reached only while the GPU works, so that host code that touches it
/// crashes; behind each piece, and in front of it, lie pages that nobody can reach.

#include <cstddef>

namespace emulated_gpu {

enum class Kind { none, device, pinned };

/// Null where the GPU has too little memory left.
void* take_memory(Kind kind, std::size_t bytes);
/// False where it was not taken by take_memory, or as memory of another kind.
bool give_memory(Kind kind, void* memory);
/// Of what kind all of [memory, memory + bytes) is; none where it is no memory of the GPU, or not within one piece.
Kind kind_of(const void* memory, std::size_t bytes);
/// Bytes of device memory taken so far.
std::size_t memory_taken();
/// The most that was taken at one time since start_memory_peak().
std::size_t memory_peak();
void start_memory_peak();

/// Bytes that the context, libraries and graphs take besides, by settings().
std::size_t memory_of_runtime();
/// What that depends on: whether cuBLASLt has loaded its kernels, and how many graphs there are more.
void note_library(bool loaded);
void note_graphs(int more);

/// While there is one of these, device memory can be reached.
class Access {
 public:
  Access();
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
};

}  // namespace emulated_gpu
