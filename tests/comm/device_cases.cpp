#include "tests/comm/device_cases.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

#include "comm/block_exchange.hpp"
#include "kernels/error.hpp"
#include "tests/comm/allocation_count.hpp"
#include "tests/comm/cases.hpp"
#include "tests/comm/fake_nccl.hpp"

namespace blocktrain::comm::test {
namespace {

constexpr auto control = TrafficPurpose::control;
constexpr auto replica = TrafficPurpose::replica;

void require(bool holds, const DeviceCommunicator& c, const std::string& what) {
  if (holds) return;
  throw std::runtime_error("rank " + std::to_string(c.rank()) + " of " + std::to_string(c.size()) + ": " + what);
}

int next_of(const DeviceCommunicator& c) { return (c.rank() + 1) % c.size(); }
int previous_of(const DeviceCommunicator& c) { return (c.rank() + c.size() - 1) % c.size(); }

std::vector<std::byte> bytes_of(int rank, std::size_t count) {
  return pattern(count, static_cast<std::uint32_t>(rank));
}

void all_reduce_sums(DeviceCommunicator& c) {
  for (const std::size_t count : {0, 1, 15, 16, 17, 1000, 100003}) {
    std::vector<float> data(count);
    for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<float>(i % 1000 + static_cast<unsigned>(c.rank()));
    c.all_reduce_sum(data, replica, nullptr);
    c.wait(nullptr);
    const auto ranks = static_cast<unsigned>(c.size());
    for (std::size_t i = 0; i < count; ++i) {
      const auto expected = static_cast<float>(i % 1000 * ranks + ranks * (ranks - 1) / 2);
      require(data[i] == expected, c, "a wrong sum at " + std::to_string(i) + " of " + std::to_string(count));
    }
  }
}

/// Values whose sum depends on the order of addition.
std::vector<float> contribution(std::size_t count, int rank) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto mixed = static_cast<unsigned>((i + 1) * 2654435761U + static_cast<unsigned>(rank + 1) * 40503U);
    values[i] = static_cast<float>(mixed % 8191) * ((mixed & 1) != 0 ? 1.0f : 1e-4f);
  }
  return values;
}

void all_reduce_repeats_its_bits(DeviceCommunicator& c) {
  constexpr std::size_t count = 5003;
  std::vector<float> first = contribution(count, c.rank());
  c.all_reduce_sum(first, replica, nullptr);
  c.wait(nullptr);
  std::vector<float> again = contribution(count, c.rank());
  c.all_reduce_sum(again, replica, nullptr);
  c.wait(nullptr);
  require(std::memcmp(first.data(), again.data(), count * sizeof(float)) == 0, c, "other bits the second time");
  std::vector<float> of_root = first;
  c.broadcast(of_root.data(), count * sizeof(float), 0, control, nullptr);
  c.wait(nullptr);
  require(std::memcmp(first.data(), of_root.data(), count * sizeof(float)) == 0, c, "other bits than on rank 0");
}

void all_reduce_allocates_only_at_first(DeviceCommunicator& c) {
  std::vector<float> large(5000, 1.0f);
  std::vector<float> small(11, 1.0f);
  const auto both = [&] {
    c.all_reduce_sum(large, replica, nullptr);
    c.all_reduce_sum(small, replica, nullptr);
    c.wait(nullptr);
  };
  both();
  both();
  const std::uint64_t before = allocations_of_this_thread() - allocations_of_the_fake();
  for (int i = 0; i < 10; ++i) both();
  const std::uint64_t after = allocations_of_this_thread() - allocations_of_the_fake();
  require(after == before, c, std::to_string(after - before) + " allocations in the calling thread");
}

void broadcast_reaches_all(DeviceCommunicator& c) {
  for (int root = 0; root < c.size(); ++root) {
    for (const std::size_t count : {0, 1, 63, 64, 65, 100000}) {
      std::vector<std::byte> data = bytes_of(c.rank(), count);
      c.broadcast(data.data(), count, root, control, nullptr);
      c.wait(nullptr);
      require(data == bytes_of(root, count), c, "broadcast of " + std::to_string(count) + " bytes differs");
    }
  }
}

void exchange_in_a_ring(DeviceCommunicator& c) {
  for (const std::size_t count : {0, 1, 64, 300, 70000}) {
    const std::vector<std::byte> right = bytes_of(c.rank(), count);
    const std::vector<std::byte> second = bytes_of(c.rank() + 50, count / 2);
    const std::vector<std::byte> left = bytes_of(c.rank() + 100, count + 3);
    std::vector<std::byte> from_left(count), second_from_left(count / 2), from_right(count + 3);
    // Two to one neighbour and one to the other, all at once; with one or two ranks the neighbours are one.
    const std::vector<Transfer> transfers{
        send_to(next_of(c), right.data(), right.size()),
        send_to(next_of(c), second.data(), second.size()),
        receive_from(previous_of(c), from_left.data(), from_left.size()),
        receive_from(previous_of(c), second_from_left.data(), second_from_left.size()),
    };
    c.exchange(transfers, control, nullptr);
    c.wait(nullptr);
    const std::vector<Transfer> back{
        receive_from(next_of(c), from_right.data(), from_right.size()),
        send_to(previous_of(c), left.data(), left.size()),
    };
    c.exchange(back, control, nullptr);
    c.wait(nullptr);
    require(from_left == bytes_of(previous_of(c), count), c, "the first differs");
    require(second_from_left == bytes_of(previous_of(c) + 50, count / 2), c, "the second differs");
    require(from_right == bytes_of(next_of(c) + 100, count + 3), c, "the one from the right differs");
  }
}

void exchange_with_all(DeviceCommunicator& c) {
  constexpr std::size_t count = 3000;
  const std::vector<std::byte> mine = bytes_of(c.rank(), count);
  std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(c.size()), std::vector<std::byte>(count));
  std::vector<Transfer> transfers;
  for (int peer = 0; peer < c.size(); ++peer) {
    transfers.push_back(receive_from(peer, all[static_cast<std::size_t>(peer)].data(), count));
    transfers.push_back(send_to(peer, mine.data(), count));
  }
  c.exchange(transfers, control, nullptr);
  c.wait(nullptr);
  for (int peer = 0; peer < c.size(); ++peer) {
    require(all[static_cast<std::size_t>(peer)] == bytes_of(peer, count), c, "wrong bytes of " + std::to_string(peer));
  }
}

/// Ranks that are ahead: rank 0 has begun to send to rank 1, which still waits for rank 2, which waits for rank 0.
void exchanges_do_not_mix(DeviceCommunicator& c) {
  if (c.size() < 3) return;
  constexpr std::size_t count = 500;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::byte> a = bytes_of(round, count), b = bytes_of(round + 1, count), into(count);
    if (c.rank() == 0) {
      c.send(a.data(), count, 2, control, nullptr);
      c.wait(nullptr);
      c.send(b.data(), count, 1, control, nullptr);
      c.wait(nullptr);
    } else if (c.rank() == 1) {
      c.receive(into.data(), count, 2, control, nullptr);
      c.wait(nullptr);
      require(into == a, c, "not what rank 2 handed on");
      c.receive(into.data(), count, 0, control, nullptr);
      c.wait(nullptr);
      require(into == b, c, "not what rank 0 sent");
    } else if (c.rank() == 2) {
      c.receive(into.data(), count, 0, control, nullptr);
      c.wait(nullptr);
      c.send(into.data(), count, 1, control, nullptr);
      c.wait(nullptr);
    }
  }
}

void expect_traffic(const DeviceCommunicator& c, TrafficPurpose purpose, std::uint64_t bytes, std::uint64_t calls,
                    const char* what) {
  const Traffic traffic = c.traffic();
  const auto index = static_cast<std::size_t>(purpose);
  require(traffic.bytes[index] == bytes, c,
          std::string(what) + ": " + std::to_string(traffic.bytes[index]) + " bytes, not " + std::to_string(bytes));
  require(traffic.calls[index] == calls, c,
          std::string(what) + ": " + std::to_string(traffic.calls[index]) + " calls, not " + std::to_string(calls));
}

void traffic_is_exact(DeviceCommunicator& c) {
  const auto others = static_cast<std::uint64_t>(c.size() - 1);
  expect_traffic(c, control, 0, 0, "a new communicator");
  expect_traffic(c, replica, 0, 0, "a new communicator");
  std::vector<float> divisible(static_cast<std::size_t>(c.size()) * 100);
  c.all_reduce_sum(divisible, replica, nullptr);
  c.wait(nullptr);
  expect_traffic(c, replica, 2 * others * 100 * sizeof(float), 1, "all_reduce_sum");
  std::vector<std::byte> data(1000), into(1000);
  c.broadcast(data.data(), data.size(), c.size() - 1, control, nullptr);
  c.wait(nullptr);
  std::uint64_t bytes = c.rank() == c.size() - 1 ? 1000 * others : 0;
  expect_traffic(c, control, bytes, 1, "broadcast");
  const std::vector<Transfer> ring{send_to(next_of(c), data.data(), 900),
                                   receive_from(previous_of(c), into.data(), 900)};
  c.exchange(ring, control, nullptr);
  c.wait(nullptr);
  bytes += 900;
  expect_traffic(c, control, bytes, 2, "exchange");
  expect_traffic(c, TrafficPurpose::inter_block, 0, 0, "nothing between blocks");
}

void polling_sees_the_end(DeviceCommunicator& c) {
  require(c.poll(nullptr), c, "nothing was started");
  std::vector<float> data(1000, 1.0f);
  c.all_reduce_sum(data, replica, nullptr);
  while (!c.poll(nullptr)) continue;
  require(data[999] == static_cast<float>(c.size()), c, "the sum was not there at the end");
}

void schedules_weights_and_states_move(DeviceCommunicator& c) {
  std::vector<std::byte> schedule = bytes_of(c.rank(), 4001);
  broadcast_schedule(c, schedule.data(), schedule.size(), c.size() - 1, nullptr);
  require(schedule == bytes_of(c.size() - 1, 4001), c, "the schedule differs");

  // Owners take turns; one block has no bytes, and the last rank owns none where there are several.
  const int owners = std::max(1, c.size() - 1);
  std::vector<std::vector<std::byte>> data;
  std::vector<BlockWeights> weights;
  std::uint64_t sent = c.rank() == c.size() - 1 ? 4001 : 0;
  for (int block = 0; block < 2 * c.size() + 1; ++block) {
    const int owner = block % owners;
    const std::size_t bytes = 777 * static_cast<std::size_t>(block);
    data.push_back(bytes_of(owner == c.rank() ? block : 1000 + c.rank(), bytes));
    weights.push_back({owner, data.back().data(), bytes});
    if (owner == c.rank()) sent += bytes;
  }
  share_weights(c, weights, nullptr);
  for (std::size_t block = 0; block < data.size(); ++block) {
    require(data[block] == bytes_of(static_cast<int>(block), 777 * block), c,
            "weights of block " + std::to_string(block) + " differ");
  }
  // Each was read from its owner alone.
  expect_traffic(c, control, sent * static_cast<std::uint64_t>(c.size() - 1), 1 + data.size(), "schedule and weights");

  for (const int to : {0, c.size() - 1}) {
    std::vector<std::byte> first = bytes_of(c.rank(), 5000), second = bytes_of(c.rank() + 9, 12);
    const std::vector<StateBuffer> state{{first.data(), first.size()}, {second.data(), second.size()}};
    const int from = c.size() - 1 - to;
    hand_over_block(c, from, to, state, nullptr);
    const int now = c.rank() == to ? from : c.rank();
    require(first == bytes_of(now, 5000) && second == bytes_of(now + 9, 12), c, "the state of a block differs");
  }
  expect_traffic(c, replica, 0, 0, "all of it is control");
  expect_traffic(c, TrafficPurpose::inter_block, 0, 0, "all of it is control");
}

void the_end_is_the_end(DeviceCommunicator& c) {
  c.finish();
  c.finish();
  bool refused = false;
  try {
    std::vector<float> data(1);
    c.all_reduce_sum(data, replica, nullptr);
  } catch (const RunError&) {
    refused = true;
  }
  require(refused, c, "an operation after the end");
  require(c.abort(), c, "an abort after the end");
}

}  // namespace

const std::vector<DeviceCase>& device_cases() {
  static const std::vector<DeviceCase> all{
      {"traffic is exact", traffic_is_exact},
      {"all_reduce sums", all_reduce_sums},
      {"all_reduce repeats its bits", all_reduce_repeats_its_bits},
      {"all_reduce allocates only at first", all_reduce_allocates_only_at_first},
      {"broadcast reaches all", broadcast_reaches_all},
      {"exchange in a ring", exchange_in_a_ring},
      {"exchange with all", exchange_with_all},
      {"exchanges do not mix", exchanges_do_not_mix},
      {"polling sees the end", polling_sees_the_end},
      {"schedules, weights and states move", schedules_weights_and_states_move},
      {"the end is the end", the_end_is_the_end},
  };
  return all;
}

}  // namespace blocktrain::comm::test
