#pragma once
/// Streams, events and graphs of the emulated GPU.

#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "tests/emulated_gpu/thread_block.hpp"

namespace emulated_gpu {

class Stream;

/// A point in the work of a stream.
struct Marker {
  bool passed = false;
  Stream* stream = nullptr;
  std::chrono::steady_clock::time_point when{};  ///< it was passed
};

/// A kernel, a copy; or the passing of a marker; or the wait for one.
struct Work {
  std::function<void()> run;
  std::shared_ptr<Marker> passes, waits_for;
};

struct Graph {
  std::vector<Work> work;
};

class Stream {
 public:
  /// Puts work at the end of the stream, or into the graph that is being captured.
  void add(Work work);
  /// Does all that was asked for so far.
  void drain();
  /// Does one piece; false when there is none left.
  bool advance();

  std::shared_ptr<Graph> captured;  ///< null while nothing is captured
 private:
  std::deque<Work> work_;
};

/// Held by whoever works on streams: the emulated GPU does one thing at a time.
class Turn {
 public:
  Turn();
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

/// Of the handle; null is the stream that CUDA calls legacy.
Stream& stream_of(cudaStream_t handle);
/// Whether the calling thread captures a stream: then nothing may be waited for or taken.
bool capturing_here();
void set_capturing_here(bool capturing);

Stream* make_stream();
/// Does what is left of its work, then forgets it.
void end_stream(Stream* stream);

/// Does everything that was asked for of any stream.
void drain_all();

/// What a launch of a kernel does; `body` is called once for each of its threads.
void start_kernel(cudaStream_t stream, const Shape& shape, std::function<void()> body);

void count_graph_launch();
void count_product(bool fused_end);

}  // namespace emulated_gpu
