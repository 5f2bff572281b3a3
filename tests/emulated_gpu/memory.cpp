#include "tests/emulated_gpu/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "tests/emulated_gpu/emulated_gpu.hpp"

namespace emulated_gpu {
namespace {

struct Piece {
  Kind kind = Kind::none;
  std::size_t bytes = 0;
  std::byte* pages = nullptr;  ///< of page_bytes, a page out of reach on either side
  std::size_t page_bytes = 0;
};

struct Pieces {
  std::mutex mutex;
  std::map<std::uintptr_t, Piece> pieces;
  std::size_t taken = 0, peak = 0;
  int accesses = 0;
  bool library = false;
  int graphs = 0;

  std::size_t of_runtime() const {
    return settings().context_bytes + (library ? settings().library_bytes : 0) +
           static_cast<std::size_t>(graphs) * settings().graph_bytes;
  }
};
Pieces& all() {
  static Pieces p;
  return p;
}

const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

void protect(const Piece& piece, int protection) {
  if (mprotect(piece.pages, piece.page_bytes, protection) != 0) {
    std::perror("emulated GPU: mprotect");
    std::abort();
  }
}

void set_access(int protection) {
  for (const auto& [address, piece] : all().pieces) {
    if (piece.kind == Kind::device) protect(piece, protection);
  }
}

}  // namespace

void* take_memory(Kind kind, std::size_t bytes) {
  Pieces& p = all();
  const std::scoped_lock lock(p.mutex);
  if (kind == Kind::device && p.taken + p.of_runtime() + bytes > settings().memory_bytes) return nullptr;
  Piece piece{kind, bytes, nullptr, round_up(bytes == 0 ? 1 : bytes, page)};
  void* const pages = mmap(nullptr, piece.page_bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  piece.pages = static_cast<std::byte*>(pages) + page;
  protect(piece, kind == Kind::device && p.accesses == 0 ? PROT_NONE : PROT_READ | PROT_WRITE);
  // As near to the end of the pages as the alignment of packs allows. CUDA's own is coarser, and would hide what is
  // written behind a tensor.
  constexpr std::size_t pack = 16;
  std::byte* const memory = piece.pages + (piece.page_bytes - round_up(bytes, pack));
  p.pieces[reinterpret_cast<std::uintptr_t>(memory)] = piece;
  if (kind == Kind::device) p.peak = std::max(p.peak, p.taken += bytes);
  return memory;
}

bool give_memory(Kind kind, void* memory) {
  Pieces& p = all();
  const std::scoped_lock lock(p.mutex);
  const auto it = p.pieces.find(reinterpret_cast<std::uintptr_t>(memory));
  if (it == p.pieces.end() || it->second.kind != kind) return false;
  if (kind == Kind::device) p.taken -= it->second.bytes;
  munmap(it->second.pages - page, it->second.page_bytes + 2 * page);
  p.pieces.erase(it);
  return true;
}

Kind kind_of(const void* memory, std::size_t bytes) {
  Pieces& p = all();
  const std::scoped_lock lock(p.mutex);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  auto it = p.pieces.upper_bound(address);
  if (it == p.pieces.begin()) return Kind::none;
  --it;
  return address + bytes <= it->first + it->second.bytes ? it->second.kind : Kind::none;
}

std::size_t memory_taken() {
  const std::scoped_lock lock(all().mutex);
  return all().taken;
}

std::size_t memory_of_runtime() {
  const std::scoped_lock lock(all().mutex);
  return all().of_runtime();
}
void note_library(bool loaded) {
  const std::scoped_lock lock(all().mutex);
  all().library = loaded;
}
void note_graphs(int more) {
  const std::scoped_lock lock(all().mutex);
  all().graphs += more;
}

std::size_t memory_peak() {
  const std::scoped_lock lock(all().mutex);
  return all().peak;
}
void start_memory_peak() {
  const std::scoped_lock lock(all().mutex);
  all().peak = all().taken;
}

Access::Access() {
  const std::scoped_lock lock(all().mutex);
  if (all().accesses++ == 0) set_access(PROT_READ | PROT_WRITE);
}
Access::~Access() {
  const std::scoped_lock lock(all().mutex);
  if (--all().accesses == 0) set_access(PROT_NONE);
}

}  // namespace emulated_gpu
