#include "tests/support/counting_new.hpp"

#include <cstdlib>
#include <new>

namespace {
thread_local long allocations = 0;
}

long blocktrain::trainer::test::allocations_of_this_thread() { return allocations; }

void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
