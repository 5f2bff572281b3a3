#pragma once
/// Which GPU boards a run uses, how the ledger numbers them, and who samples each: exactly one rank for a board,
/// however many ranks compute on it, or its joules would be counted twice.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trainer/ledger/energy/apportioner.hpp"

namespace blocktrain::trainer {

/// A board that a rank has to sample.
struct GpuInUse {
  int device = 0;              ///< the ledger's index of the board on its host
  std::string uuid;            ///< "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", see kernels/gpu_uuid.hpp
  std::string elsewhere = {};  ///< not empty: why it is not sampled here, since another host's owner samples it
};

/// Where a rank computes.
struct RankGpu {
  int rank = 0;
  int host = 0;
  std::string uuid;  ///< of its GPU; empty: CPU
};

struct GpuBoard {
  int host = 0;
  int device = 0;  ///< index on the host: boards in the order of the lowest ranks that use them
  std::string uuid;
  int owner = 0;           ///< the lowest rank on this host that uses it
  std::vector<int> ranks;  ///< on this host that use it, ascending
  /// False when two hosts show the same board (containers with names of their own): the one with the lowest rank
  /// counts its joules, and the ranks of the other have none.
  bool counted_here = true;
};

struct GpuAssignment {
  std::vector<RankPlace> places;  ///< by rank; what EnergyApportioner wants
  std::vector<GpuBoard> boards;   ///< by host and device

  /// What `rank` has to sample: ReporterSettings::gpus.
  std::vector<GpuInUse> owned_by(int rank) const;
};

/// Pure: the same list gives the same answer on every rank, whatever its order. Each rank from 0 on has to be there
/// once; throws RunError otherwise.
GpuAssignment assign_gpu_boards(std::vector<RankGpu> ranks);

}  // namespace blocktrain::trainer
