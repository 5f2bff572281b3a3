#include "trainer/exchange/shared_exchange.hpp"

#include <algorithm>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

constexpr auto purpose = comm::TrafficPurpose::inter_block;

/// Whether every block has a rank of its own, so that the order of the ranks is that of the blocks.
bool sums_by_rank(const comm::Placement& placement) {
  return placement.blocks_of_rank.size() >= placement.ranks_of_block.size();
}

}  // namespace

SharedExchange::SharedExchange(comm::Communicator& ranks, const comm::Placement& placement,
                               const kernels::Tensor& memory)
    : ranks_(ranks),
      placement_(placement),
      memory_(memory),
      elements_(static_cast<std::size_t>(memory.dim(1) - meeting_votes)) {
  BLOCKTRAIN_EXPECTS(memory.dim(0) == 2 && static_cast<int>(placement.blocks_of_rank.size()) == ranks.size());
  // A transport takes its memory in the first call of a size: not in the middle of the training, then.
  constexpr auto control = comm::TrafficPurpose::control;
  if (sums_by_rank(placement)) {
    ranks.all_reduce(row(0), control);
  } else {
    for (const std::vector<int>& owners : placement.ranks_of_block)
      ranks.broadcast(std::as_writable_bytes(row(1)), owners.front(), control);
  }
}

std::span<float> SharedExchange::row(std::int64_t i) const {
  return {memory_.as<float>() + i * memory_.dim(1), static_cast<std::size_t>(memory_.dim(1))};
}

void SharedExchange::add(std::span<const float> from) const {
  const std::span<float> sum = row(0);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += from[i];
}

MeetingVotes SharedExchange::add_up(const MeetingVotes& mine, const WritePart& write) {
  const std::span<float> sum = row(0), part = row(1);
  const auto rank = static_cast<std::size_t>(ranks_.rank());
  const std::vector<int>& blocks = placement_.blocks_of_rank[rank];
  const auto prepare = [&](std::size_t k) {
    std::fill(part.begin(), part.end(), 0.0f);
    bool good = !mine.failed;
    if (good && placement_.replica_index(ranks_.rank(), blocks[k]) == 0) good = write(k, part.first(elements_));
    part[elements_] = mine.stop ? 1.0f : 0.0f;
    part[elements_ + 1] = good ? 0.0f : 1.0f;
  };
  // It begins as +0, which no number changes by being added to it but -0: so the sum is the same where a rank adds
  // zeros for want of a part, too.
  std::fill(sum.begin(), sum.end(), 0.0f);
  if (sums_by_rank(placement_)) {
    prepare(0);
    add(part);
    ranks_.all_reduce(sum, purpose);
  } else {
    std::size_t k = 0;
    for (const std::vector<int>& owners : placement_.ranks_of_block) {
      if (owners.front() == ranks_.rank()) prepare(k++);
      ranks_.broadcast(std::as_writable_bytes(part), owners.front(), purpose);
      add(part);
    }
  }
  return {sum[elements_] > 0, sum[elements_ + 1] > 0};
}

}  // namespace blocktrain::trainer
