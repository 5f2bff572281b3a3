#pragma once
/// How many threads a rank computes on. Results never depend on it.

namespace blocktrain::trainer {

/// Compute threads of one rank when parallel.threads is 0: a rank that its launcher has bound to some cores uses
/// those; unbound ranks share the machine's cores evenly. At least one.
int automatic_threads(int ranks_on_host);

/// `configured` (parallel.threads), or automatic_threads() where that is 0.
int compute_threads(int configured, int ranks_on_host);

}  // namespace blocktrain::trainer
