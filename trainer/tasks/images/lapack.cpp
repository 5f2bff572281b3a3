#include "trainer/tasks/images/lapack.hpp"

#include <dlfcn.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "kernels/error.hpp"
#include "trainer/support/address_space.hpp"
#include "trainer/support/threads.hpp"

namespace blocktrain::trainer {
namespace {

/// OpenBLAS takes buffers as it is loaded and used, and where the system refuses them some versions wait without end.
void require_address_space() {
  constexpr std::int64_t needed = std::int64_t{512} << 20;
  const std::optional<std::int64_t> limit = address_space_limit();
  if (!limit) return;
  const std::int64_t taken = address_space_mapped().value_or(0);
  if (taken <= *limit - needed) return;
  throw RunError("OpenBLAS, which the Frechet distance is computed with, needs 512 MiB of address space besides the " +
                 std::to_string(taken >> 20) + " MiB that are taken, and the limit is " + std::to_string(*limit >> 20) +
                 " MiB: raise it (ulimit -v)");
}

void* open_openblas() {
  require_address_space();
  if (setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0) {
    throw_library_error("setenv", __FILE__, __LINE__, std::strerror(errno));
  }
  std::string why;
  // Where the loader looks, then where the build found it.
  for (const char* name : {"libopenblas.so.0", BLOCKTRAIN_OPENBLAS}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
      use_cpus_at_start();  // one that is built with OpenMP may have bound this thread
      return library;
    }
    const char* said = dlerror();
    if (why.empty() && said != nullptr) why = said;
  }
  throw RunError("OpenBLAS, which the Frechet distance is computed with, cannot be loaded: " + why +
                 " (Debian: libopenblas0)");
}

template <class Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function == nullptr) throw RunError(std::string("OpenBLAS here has no LAPACK in it: no ") + name);
}

}  // namespace

const Lapack& lapack() {
  static const Lapack functions = [] {
    void* const library = open_openblas();  // never closed
    Lapack l{};
    find(library, "dsyev_", l.dsyev);
    find(library, "dsyrk_", l.dsyrk);
    find(library, "dgemm_", l.dgemm);
    return l;
  }();
  return functions;
}

}  // namespace blocktrain::trainer
