#pragma once

namespace blocktrain::trainer::test {

/// How often the calling thread has called operator new; binaries that link counting_new.cpp only.
long allocations_of_this_thread();

}  // namespace blocktrain::trainer::test
