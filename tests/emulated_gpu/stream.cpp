#include "tests/emulated_gpu/stream.hpp"

#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>

#include "tests/emulated_gpu/emulated_gpu.hpp"
#include "tests/emulated_gpu/memory.hpp"
#include "tests/emulated_gpu/runtime_error.hpp"

namespace emulated_gpu {
namespace {

struct Machine {
  std::recursive_mutex mutex;
  Stream legacy;
  std::set<Stream*> streams{&legacy};
  Counts counts;
};
Machine& machine() {
  static Machine m;
  return m;
}

thread_local bool capturing = false;

bool at_once() {
  const char* const blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  return !settings().late || (blocking != nullptr && *blocking == '1');
}

}  // namespace

Settings& settings() {
  static Settings s;
  return s;
}
Counts counts() {
  const Turn turn;
  return machine().counts;
}
void count_graph_launch() { ++machine().counts.graph_launches; }
void count_product(bool fused_end) {
  ++machine().counts.products;
  machine().counts.fused_ends += fused_end ? 1 : 0;
}

Turn::Turn() { machine().mutex.lock(); }
Turn::~Turn() { machine().mutex.unlock(); }

bool capturing_here() { return capturing; }
void set_capturing_here(bool now) { capturing = now; }

Stream& stream_of(cudaStream_t handle) {
  return handle == nullptr ? machine().legacy : *reinterpret_cast<Stream*>(handle);
}

void Stream::add(Work work) {
  if (captured != nullptr) {
    captured->work.push_back(std::move(work));
    return;
  }
  work_.push_back(std::move(work));
  if (at_once()) drain();
}

bool Stream::advance() {
  if (work_.empty()) return false;
  const Work work = std::move(work_.front());
  work_.pop_front();
  if (work.waits_for != nullptr) {
    while (!work.waits_for->passed && work.waits_for->stream->advance()) {
    }
  }
  if (work.run) {
    const Access access;
    work.run();
  }
  if (work.passes != nullptr) {
    work.passes->passed = true;
    work.passes->when = std::chrono::steady_clock::now();
  }
  return true;
}

void Stream::drain() {
  if (work_.empty()) return;
  const Access access;  // for all of it: one for each piece of work would open and close all memory as often
  while (advance()) {
  }
}

void drain_all() {
  for (Stream* const s : machine().streams) s->drain();
}

void start_kernel(cudaStream_t stream, const Shape& shape, std::function<void()> body) {
  const Turn turn;
  // Limits of every GPU since compute capability 3.0, without asking for more shared memory.
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0 || shape.grid.y > 65535 || shape.grid.z > 65535 ||
      shape.threads == 0 || shape.threads > 1024 || shape.shared_bytes > 48 << 10) {
    set_error(cudaErrorInvalidConfiguration);
    return;
  }
  stream_of(stream).add({[shape, body = std::move(body)] {
                           ++machine().counts.kernels;
                           run_grid(shape, body);
                         },
                         nullptr, nullptr});
}

Stream* make_stream() {
  const Turn turn;
  auto* const made = new Stream;
  machine().streams.insert(made);
  return made;
}

void end_stream(Stream* stream) {
  const Turn turn;
  stream->drain();
  machine().streams.erase(stream);
  delete stream;
}

}  // namespace emulated_gpu
