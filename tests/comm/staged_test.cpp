// Device memory through host memory, on ranks as threads; and what happens when the device or a rank does not answer.

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "comm/local/local_world.hpp"
#include "comm/staged/staged_communicator.hpp"
#include "kernels/error.hpp"
#include "tests/comm/cases.hpp"
#include "tests/comm/device_cases.hpp"
#include "tests/comm/watchdog.hpp"

namespace blocktrain::comm {
namespace {

using test::require;
constexpr auto replica = TrafficPurpose::replica;
constexpr std::chrono::milliseconds short_deadline{200};

struct alignas(16) Sixteen {
  std::byte bytes[16];
};

/// Host memory aligned as staging wants it.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : memory_((bytes + 15) / 16), bytes_(bytes) {}
  std::span<std::byte> span() { return {memory_.empty() ? nullptr : memory_.front().bytes, bytes_}; }

 private:
  std::vector<Sixteen> memory_;
  std::size_t bytes_;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What the RunError of `body` says; empty if it threw none.
template <class Body>
std::string failure_of(const Body& body) {
  try {
    body();
  } catch (const RunError& error) {
    return error.what();
  }
  return {};
}

BOOST_AUTO_TEST_CASE(every_case_in_worlds_and_buffers_of_several_sizes) {
  for (const test::DeviceCase& c : test::device_cases()) {
    for (const int size : {1, 2, 3, 5}) {
      for (const std::size_t bytes : {std::size_t{80}, std::size_t{4096}, staging_buffer_bytes(1 << 20, size)}) {
        if (bytes == 80 && std::strcmp(c.name, "all_reduce sums") == 0 && size == 5) continue;  // many small chunks
        BOOST_TEST_CONTEXT(c.name << ", " << size << " ranks, " << bytes << " bytes") {
          BOOST_CHECK_NO_THROW(run_local_world(size, [&](Communicator& host) {
            Buffer buffer(bytes);
            StagedDeviceCommunicator device(host, host_device_api(), buffer.span());
            c.run(device);
          }));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_have_the_bits_of_the_host_communicator) {
  run_local_world(3, [](Communicator& host) {
    std::vector<float> values(1003);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 7919 + static_cast<std::size_t>(host.rank()) * 104729) % 10007) * 1e-3f +
                  (i % 3 == 0 ? 4096.0f : 0.0f);
    }
    std::vector<float> expected = values;
    host.all_reduce(expected, replica);
    Buffer buffer(80 + 64 * static_cast<std::size_t>(host.rank()));  // the smallest counts
    StagedDeviceCommunicator device(host, host_device_api(), buffer.span());
    device.all_reduce_sum(values, replica, nullptr);
    require(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)) == 0, host, "other bits");
    require(device.host_bytes(1 << 20) >= 64, host, "the plan forgets host memory");
  });
}

BOOST_AUTO_TEST_CASE(buffers_are_priced) {
  BOOST_TEST(staging_buffer_bytes(1000, 1) == 0);
  BOOST_TEST(staging_buffer_bytes(0, 2) == 80);
  BOOST_TEST(staging_buffer_bytes(1000, 2) == 16 + 1024);
  BOOST_TEST(staging_buffer_bytes(std::size_t{1} << 40, 2) == 16 + staging_chunk_bytes);
  BOOST_CHECK_THROW(run_local_world(2,
                                    [](Communicator& host) {
                                      Buffer buffer(host.rank() == 0 ? 79 : 4096);
                                      StagedDeviceCommunicator device(host, host_device_api(), buffer.span());
                                    }),
                    std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_missing_rank_is_named) {
  const std::vector<std::pair<const char*, void (*)(DeviceCommunicator&)>> calls{
      {"all_reduce",
       [](DeviceCommunicator& c) {
         std::vector<float> data(100);
         c.all_reduce_sum(data, replica, nullptr);
       }},
      {"broadcast",
       [](DeviceCommunicator& c) {
         std::vector<std::byte> data(100);
         c.broadcast(data.data(), data.size(), 0, replica, nullptr);
       }},
      {"exchange",
       [](DeviceCommunicator& c) {
         std::vector<std::byte> data(100000);
         c.send(data.data(), data.size(), 2, replica, nullptr);
       }},
      {"exchange",
       [](DeviceCommunicator& c) {
         std::vector<std::byte> data(100);
         c.receive(data.data(), data.size(), 2, replica, nullptr);
       }},
  };
  for (const auto& [name, call] : calls) {
    const test::Watchdog watchdog(name);
    run_local_world(3, [&, name = name, call = call](Communicator& host) {
      Buffer buffer(4096);
      StagedDeviceCommunicator device(host, host_device_api(), buffer.span(), short_deadline);
      if (host.rank() != 2) {
        const std::string text = failure_of([&] { call(device); });
        for (const std::string& part : {"rank " + std::to_string(host.rank()), std::string(name) + " failed",
                                        std::string("rank 2 of 3"), std::string("0.2 s")}) {
          require(contains(text, part), host, "\"" + text + "\" lacks \"" + part + "\"");
        }
        require(contains(failure_of([&] { device.wait(nullptr); }), "not possible any more"), host, "it went on");
        require(contains(failure_of([&] { call(device); }), "not possible any more"), host, "it went on");
      }
      host.barrier(TrafficPurpose::control);
    });
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_differ_are_an_error) {
  for (const auto& [sent, expected] : {std::pair(100, 200), std::pair(5000, 4096), std::pair(64, 128)}) {
    const test::Watchdog watchdog("sizes that differ");
    run_local_world(2, [sent = sent, expected = expected](Communicator& host) {
      Buffer buffer(80);
      StagedDeviceCommunicator device(host, host_device_api(), buffer.span(), short_deadline);
      std::vector<std::byte> data(10000);
      const std::string text = failure_of([&] {
        if (host.rank() == 0) {
          device.send(data.data(), static_cast<std::size_t>(sent), 1, replica, nullptr);
        } else {
          device.receive(data.data(), static_cast<std::size_t>(expected), 0, replica, nullptr);
        }
      });
      require(!text.empty(), host, "it was accepted");
      const std::string words = "sends " + std::to_string(sent) + " bytes, rank 1 expects " + std::to_string(expected);
      require(host.rank() == 0 || contains(text, words), host, text);
    });
  }
}

BOOST_AUTO_TEST_CASE(a_device_that_hangs_or_fails_is_an_error) {
  for (const int code : {device_not_ready, 700}) {
    const test::Watchdog watchdog("a device that hangs or fails");
    auto api = std::make_shared<DeviceApi>(*host_device_api());
    api->event_query = [code](void*) { return code; };
    run_local_world(2, [&](Communicator& host) {
      Buffer buffer(4096);
      StagedDeviceCommunicator device(host, api, buffer.span(), short_deadline);
      std::vector<float> data(100);
      const std::string text = failure_of([&] { device.all_reduce_sum(data, replica, nullptr); });
      const std::string words = code == 700 ? "code 700" : "did not end within 0.2 s";
      require(contains(text, words) && contains(text, "all_reduce_sum failed"), host, text);
      require(!failure_of([&] { device.all_reduce_sum(data, replica, nullptr); }).empty(), host, "it went on");
      require(device.abort(), host, "nothing is left behind");
    });
  }
}

}  // namespace
}  // namespace blocktrain::comm
