#include "tests/comm/cases.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "comm/host.hpp"
#include "comm/placement.hpp"
#include "kernels/error.hpp"
#include "kernels/random.hpp"
#include "tests/comm/allocation_count.hpp"

namespace blocktrain::comm::test {
namespace {

constexpr auto control = TrafficPurpose::control;
constexpr auto replica = TrafficPurpose::replica;
constexpr std::chrono::seconds patience{30};
const std::size_t control_index = static_cast<std::size_t>(control);

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Message receive(Communicator& c, int tag) {
  std::optional<Message> message = c.wait(tag, patience);
  require(message.has_value(), c, "no message with tag " + std::to_string(tag) + " came");
  return std::move(*message);
}

/// What rank `rank` brings to an all_reduce: numbers of very different sizes, so that the order of addition shows.
std::vector<float> contribution(std::size_t count, int rank) {
  std::vector<float> values(count);
  const kernels::RandomKey key{.seed = 7, .purpose = kernels::Purpose::test};
  for (std::size_t i = 0; i < count; ++i) {
    const auto words = kernels::random_words(key, 0, static_cast<std::uint32_t>(rank), static_cast<std::uint32_t>(i));
    const double scale = (words[1] & 1) != 0 ? 1.0 : 4096.0;
    values[i] = static_cast<float>((kernels::uniform_open(words[0]) - 0.5) * scale);
  }
  return values;
}

void all_reduce_sums_in_rank_order(Communicator& c) {
  const auto n = static_cast<std::size_t>(c.size());
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, n, n + 1, std::size_t{1000}, std::size_t{100003}}) {
    std::vector<float> expected = contribution(count, 0);
    std::vector<float> backwards = contribution(count, c.size() - 1);
    for (int rank = 1; rank < c.size(); ++rank) {
      const std::vector<float> next = contribution(count, rank);
      const std::vector<float> last = contribution(count, c.size() - 1 - rank);
      for (std::size_t i = 0; i < count; ++i) {
        expected[i] += next[i];
        backwards[i] += last[i];
      }
    }
    if (c.size() >= 3 && count >= 1000) require(expected != backwards, c, "the inputs cannot tell orders apart");
    for (int repetition = 0; repetition < 3; ++repetition) {
      std::vector<float> data = contribution(count, c.rank());
      c.all_reduce(data, replica);
      require(count == 0 || std::memcmp(data.data(), expected.data(), count * sizeof(float)) == 0, c,
              "all_reduce of " + std::to_string(count) + " values has other bits than the sum in rank order");
    }
  }
}

void all_reduce_allocates_only_at_first(Communicator& c) {
  std::vector<float> large(5000, 1.0f);
  std::vector<float> small(11, 1.0f);
  c.all_reduce(large, replica);
  c.all_reduce(small, replica);
  const std::uint64_t before = allocations_of_this_thread();
  for (int i = 0; i < 20; ++i) {
    c.all_reduce(small, replica);
    c.all_reduce(large, replica);
    c.barrier(replica);
  }
  const std::uint64_t after = allocations_of_this_thread();
  require(after == before, c, std::to_string(after - before) + " allocations in the calling thread");
  require(c.size() == 1 || c.all_reduce_buffer_bytes(5000) >= 5000 * sizeof(float), c, "the plan forgets buffers");
}

void broadcast_reaches_all(Communicator& c) {
  for (int root = 0; root < c.size(); ++root) {
    for (const std::size_t count : {0, 1, 4096, 8192, 2 << 20}) {
      const std::vector<std::byte> sent = pattern(count, static_cast<std::uint32_t>(root));
      std::vector<std::byte> data = c.rank() == root ? sent : std::vector<std::byte>(count);
      c.broadcast(data, root, control);
      require(data == sent, c, "broadcast of " + std::to_string(count) + " bytes differs");
    }
  }
}

void all_gather_keeps_sizes(Communicator& c) {
  const auto size_of = [](int rank, std::size_t scale) { return static_cast<std::size_t>(rank) * scale; };
  for (const std::size_t scale : {0, 1, 4096, 700000}) {
    const auto all = c.all_gather(pattern(size_of(c.rank(), scale), static_cast<std::uint32_t>(c.rank())), control);
    require(all.size() == static_cast<std::size_t>(c.size()), c, "all_gather misses ranks");
    for (int rank = 0; rank < c.size(); ++rank) {
      require(all[static_cast<std::size_t>(rank)] == pattern(size_of(rank, scale), static_cast<std::uint32_t>(rank)), c,
              "all_gather differs for rank " + std::to_string(rank));
    }
  }
}

void barrier_holds_back(Communicator& c) {
  // A message posted before the barrier of its sender is there soon after; here the barrier only has to keep order:
  // everybody sees all round numbers equal.
  for (std::uint32_t round = 0; round < 50; ++round) {
    c.barrier(control);
    const auto all = c.all_gather(std::as_bytes(std::span(&round, 1)), control);
    for (const auto& other : all) {
      require(std::memcmp(other.data(), &round, sizeof round) == 0, c, "ranks are out of step");
    }
  }
}

void messages_keep_order(Communicator& c) {
  constexpr int tags = 3;
  constexpr std::uint32_t count = 400;
  for (std::uint32_t i = 0; i < count; ++i) {
    for (int destination = 0; destination < c.size(); ++destination) {
      for (int tag = 0; tag < tags; ++tag) {
        // Long ones among short ones: those that take longer must not be overtaken.
        std::vector<std::byte> payload = pattern(i % 50 == 0 ? 200000 : 4, i);
        std::memcpy(payload.data(), &i, sizeof i);
        c.post(destination, tag, payload, control);
      }
    }
  }
  for (int tag = tags - 1; tag >= 0; --tag) {
    std::vector<std::uint32_t> next(static_cast<std::size_t>(c.size()), 0);
    for (std::uint32_t i = 0; i < count * static_cast<std::uint32_t>(c.size()); ++i) {
      const Message message = receive(c, tag);
      std::uint32_t number = 0;
      require(message.payload.size() >= sizeof number, c, "a message was cut");
      std::memcpy(&number, message.payload.data(), sizeof number);
      require(number == next[static_cast<std::size_t>(message.source)]++, c, "messages overtook one another");
    }
    require(!c.poll(tag).has_value(), c, "one message too many");
  }
  c.flush();
  c.barrier(control);
}

void messages_of_all_sizes(Communicator& c) {
  const std::vector<std::size_t> sizes{0, 1, 4095, 4096, 4097, 8192, 65536, 2 << 20};
  for (const std::size_t size : sizes) {
    for (int destination = 0; destination < c.size(); ++destination) {
      c.post(destination, max_tag, pattern(size, static_cast<std::uint32_t>(c.rank())), control);
    }
  }
  std::vector<std::size_t> next(static_cast<std::size_t>(c.size()), 0);
  for (std::size_t i = 0; i < sizes.size() * next.size(); ++i) {
    const Message message = receive(c, max_tag);
    const std::size_t size = sizes[next[static_cast<std::size_t>(message.source)]++];
    require(message.payload == pattern(size, static_cast<std::uint32_t>(message.source)), c,
            "a message of " + std::to_string(size) + " bytes differs");
  }
  c.flush();
  c.barrier(control);
}

void waiting_ends(Communicator& c) {
  require(!c.wait(5, std::chrono::milliseconds(20)).has_value(), c, "a message nobody sent");
  require(!c.wait(5, std::chrono::milliseconds(-1)).has_value(), c, "a message nobody sent");
  c.post(c.rank(), 5, bytes_of("to myself"), control);
  const std::optional<Message> message = c.poll(5);
  require(message && message->source == c.rank() && message->payload.size() == 9, c, "no message from myself");
}

void split_groups(Communicator& c) {
  const auto group = c.split(c.rank() % 2);
  require(group->size() == (c.size() + (c.rank() % 2 == 0 ? 1 : 0)) / 2, c, "a group of the wrong size");
  require(group->rank() == c.rank() / 2, c, "ranks are not in order");
  std::vector<float> one(3, 1.0f);
  group->all_reduce(one, replica);
  require(one[2] == static_cast<float>(group->size()), c, "groups mix");
  group->post((group->rank() + 1) % group->size(), 1, bytes_of("ring"), control);
  require(receive(*group, 1).source == (group->rank() + group->size() - 1) % group->size(), c, "the ring is broken");
  require(!c.poll(1).has_value(), c, "a group's message reached its parent");
  require(c.traffic().bytes[static_cast<std::size_t>(replica)] == 0, c, "a group's traffic counts for its parent");

  const auto alone = c.split(c.rank() == 0 ? 0 : -1);
  require((alone != nullptr) == (c.rank() == 0), c, "a negative color has to give null");
  if (alone) {
    alone->barrier(control);
    const auto again = alone->split(3);
    require(again->size() == 1, c, "a group of one");
  }
  c.barrier(control);
}

void traffic_is_exact(Communicator& c) {
  const auto others = static_cast<std::uint64_t>(c.size() - 1);
  const auto expect = [&](TrafficPurpose purpose, std::uint64_t bytes, std::uint64_t calls, const char* what) {
    const Traffic traffic = c.traffic();
    require(traffic.bytes[static_cast<std::size_t>(purpose)] == bytes, c,
            std::string(what) + ": " + std::to_string(traffic.bytes[static_cast<std::size_t>(purpose)]) +
                " bytes, expected " + std::to_string(bytes));
    require(traffic.calls[static_cast<std::size_t>(purpose)] == calls, c, std::string(what) + ": calls");
  };
  std::vector<float> divisible(static_cast<std::size_t>(c.size()) * 100);
  c.all_reduce(divisible, replica);
  expect(replica, 2 * others * 100 * sizeof(float), 1, "all_reduce");
  std::vector<float> single(1);
  c.all_reduce(single, replica);
  const std::uint64_t of_single = c.rank() == 0 ? others * sizeof(float) : sizeof(float);
  expect(replica, 2 * others * 100 * sizeof(float) + (others == 0 ? 0 : of_single), 2, "all_reduce of one value");

  std::uint64_t bytes = 0;
  c.barrier(control);
  expect(control, bytes, 1, "barrier");
  std::vector<std::byte> data(10);
  c.broadcast(data, c.size() - 1, control);
  bytes += c.rank() == c.size() - 1 ? 10 * others : 0;
  expect(control, bytes, 2, "broadcast");
  (void)c.all_gather(std::span(data).first(7), control);
  bytes += 7 * others;
  expect(control, bytes, 3, "all_gather");
  c.post(c.rank(), 1, data, control);
  c.post(0, 2, data, control);
  bytes += 20;
  expect(control, bytes, 5, "post");
  (void)receive(c, 1);
  if (c.rank() == 0) {
    for (int i = 0; i < c.size(); ++i) (void)receive(c, 2);
  }
  expect(control, bytes, 5, "receiving is free");
  const auto group = c.split(0);
  bytes += 4 * others;
  expect(control, bytes, 6, "split");
  require(group->traffic().bytes[control_index] == 0 && group->traffic().calls[control_index] == 0, c,
          "a new group starts at 0");
  expect(TrafficPurpose::inter_block, 0, 0, "nothing between blocks");
}

void missing_rank_is_named(Communicator& c) {
  if (c.size() == 1) return;
  const int absent = c.size() - 1;
  const std::vector<std::pair<std::string, void (*)(Communicator&)>> calls{
      {"barrier", [](Communicator& g) { g.barrier(control); }},
      {"all_reduce",
       [](Communicator& g) {
         std::vector<float> data(100, 1.0f);
         g.all_reduce(data, replica);
       }},
      {"all_gather", [](Communicator& g) { (void)g.all_gather(bytes_of("x"), control); }},
      {"split", [](Communicator& g) { (void)g.split(0); }},
  };
  for (const auto& [name, call] : calls) {
    const auto group = c.split(0);
    if (c.rank() != absent) {
      group->set_deadline(std::chrono::milliseconds(250));
      std::string text;
      try {
        call(*group);
      } catch (const RunError& error) {
        text = error.what();
      }
      for (const std::string& part : {"rank " + std::to_string(c.rank()) + ":", std::string(name),
                                      "rank " + std::to_string(absent) + " of", std::string("0.25 s")}) {
        require(text.find(part) != std::string::npos, c, name + ": \"" + text + "\" lacks \"" + part + "\"");
      }
      bool refused = false;
      try {
        group->barrier(control);
      } catch (const RunError&) {
        refused = true;
      }
      require(refused, c, name + ": a group out of step went on");
      group->post(group->rank(), 0, bytes_of("still here"), control);
      require(group->poll(0).has_value(), c, "messages have to go on working");
    }
    c.barrier(control);
  }
}

void different_counts_are_an_error(Communicator& c) {
  if (c.size() == 1) return;
  const auto group = c.split(0);
  group->set_deadline(std::chrono::seconds(1));
  std::vector<float> data(c.rank() == 0 ? 1000 : 2000, 1.0f);
  bool refused = false;
  try {
    group->all_reduce(data, replica);
  } catch (const RunError&) {
    refused = true;
  }
  require(refused, c, "all_reduce of 1000 and 2000 values was accepted");
  c.barrier(control);
}

void threads_post_during_collectives(Communicator& c) {
  constexpr int posters = 4;
  constexpr std::uint32_t count = 200;
  std::vector<std::thread> threads;
  for (int poster = 0; poster < posters; ++poster) {
    threads.emplace_back([&c, poster] {
      for (std::uint32_t i = 0; i < count; ++i) {
        for (int destination = 0; destination < c.size(); ++destination) {
          c.post(destination, poster, std::as_bytes(std::span(&i, 1)), control);
        }
      }
    });
  }
  std::string failure;
  std::thread reader([&] {
    try {
      for (int poster = 0; poster < posters; ++poster) {
        std::vector<std::uint32_t> next(static_cast<std::size_t>(c.size()), 0);
        for (std::uint32_t i = 0; i < count * static_cast<std::uint32_t>(c.size()); ++i) {
          const Message message = receive(c, poster);
          std::uint32_t number = 0;
          std::memcpy(&number, message.payload.data(), sizeof number);
          require(number == next[static_cast<std::size_t>(message.source)]++, c, "posts of a thread lost their order");
        }
      }
    } catch (const std::exception& error) {
      failure = error.what();
    }
  });
  std::vector<float> data(1000);
  for (int i = 0; i < 50; ++i) {
    std::fill(data.begin(), data.end(), static_cast<float>(i));
    c.all_reduce(data, replica);
    require(data[999] == static_cast<float>(i * c.size()), c, "sums suffer from posts");
    (void)c.traffic();
  }
  for (std::thread& thread : threads) thread.join();
  reader.join();
  require(failure.empty(), c, failure);
  c.flush();
  c.barrier(control);
}

void hosts_are_found(Communicator& c) {
  // Even ranks on one machine, odd ones on another, as they would say themselves.
  const bool even = c.rank() % 2 == 0;
  const HostMap map = map_hosts(c, {even ? "red" : "blue", even ? "boot-1" : "boot-2"});
  for (int rank = 0; rank < c.size(); ++rank) {
    require(map.host_of_rank[static_cast<std::size_t>(rank)] == rank % 2, c, "a rank on the wrong host");
    require(map.local_rank(rank) == rank / 2, c, "a wrong local rank");
  }
  require(map.hostnames.front() == "red", c, "hostnames");
  const HostMap real = map_hosts(c);
  require(real.ranks_of_host.size() == 1, c, "this test runs on one machine");
}

}  // namespace

void require(bool holds, const Communicator& communicator, const std::string& what) {
  if (!holds) {
    throw std::runtime_error("rank " + std::to_string(communicator.rank()) + " of " +
                             std::to_string(communicator.size()) + ": " + what);
  }
}

std::vector<std::byte> pattern(std::size_t count, std::uint32_t seed) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>((i * 7 + i / 251 + seed * 13 + 1) & 0xff);
  return bytes;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"traffic is exact", traffic_is_exact},
      {"split groups", split_groups},
      {"all_reduce sums in rank order", all_reduce_sums_in_rank_order},
      {"all_reduce allocates only at first", all_reduce_allocates_only_at_first},
      {"broadcast reaches all", broadcast_reaches_all},
      {"all_gather keeps sizes", all_gather_keeps_sizes},
      {"barrier keeps step", barrier_holds_back},
      {"messages keep order", messages_keep_order},
      {"messages of all sizes", messages_of_all_sizes},
      {"waiting ends", waiting_ends},
      {"a missing rank is named", missing_rank_is_named},
      {"different counts are an error", different_counts_are_an_error},
      {"threads post during collectives", threads_post_during_collectives},
      {"hosts are found", hosts_are_found},
  };
  return all;
}

}  // namespace blocktrain::comm::test
