#include "trainer/ledger/energy/gpu_boards.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

GpuAssignment assign_gpu_boards(std::vector<RankGpu> ranks) {
  std::sort(ranks.begin(), ranks.end(), [](const RankGpu& a, const RankGpu& b) { return a.rank < b.rank; });
  GpuAssignment result;
  std::map<int, int> boards_of_host;
  std::map<std::string, int> counting_host;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankGpu& r = ranks[i];
    if (r.rank != static_cast<int>(i)) {
      throw RunError("the list of ranks and their GPUs has to name every rank once; at " + std::to_string(i) +
                     " it has rank " + std::to_string(r.rank));
    }
    if (r.uuid.empty()) {
      result.places.push_back({r.host, -1});
      continue;
    }
    auto board = std::find_if(result.boards.begin(), result.boards.end(),
                              [&r](const GpuBoard& b) { return b.host == r.host && b.uuid == r.uuid; });
    if (board == result.boards.end()) {
      const int counts = counting_host.try_emplace(r.uuid, r.host).first->second;
      result.boards.push_back({r.host, boards_of_host[r.host]++, r.uuid, r.rank, {}, counts == r.host});
      board = result.boards.end() - 1;
    }
    board->ranks.push_back(r.rank);
    result.places.push_back({r.host, board->device});
  }
  std::sort(result.boards.begin(), result.boards.end(), [](const GpuBoard& a, const GpuBoard& b) {
    return std::tie(a.host, a.device) < std::tie(b.host, b.device);
  });
  return result;
}

std::vector<GpuInUse> GpuAssignment::owned_by(int rank) const {
  std::vector<GpuInUse> owned;
  for (const GpuBoard& board : boards) {
    if (board.owner != rank) continue;
    GpuInUse gpu{board.device, board.uuid};
    if (!board.counted_here) {
      gpu.elsewhere = "the joules of " + board.uuid +
                      " are counted on another host that shows the same board (containers on one machine)";
    }
    owned.push_back(std::move(gpu));
  }
  return owned;
}

}  // namespace blocktrain::trainer
