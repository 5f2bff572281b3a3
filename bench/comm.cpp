// How fast ranks talk: all_reduce, messages there and back, and what an idle engine costs.
//
//   bench_comm local --ranks 4          ranks as threads
//   mpirun -np 4 bench_comm mpi         our MPI transport
//   mpirun -np 4 bench_comm raw         MPI_Allreduce and MPI_Send/MPI_Recv called directly, to compare
//
// Columns: what, bytes of payload, microseconds per call (median), GB/s of payload, values that were wrong.

#include "comm/local/local_world.hpp"
#include "comm/mpi/mpi_world.hpp"

#ifdef BENCH_RAW_MPI
#include "comm/mpi/check.hpp"
#endif

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

namespace {

using namespace blocktrain;
using namespace blocktrain::comm;
using Seconds = std::chrono::duration<double>;
using Clock = std::chrono::steady_clock;

constexpr auto replica = TrafficPurpose::replica;

void print_header(const char* transport, int ranks) {
  std::printf("# %s, %d ranks\n%-12s %12s %12s %10s %8s\n", transport, ranks, "what", "bytes", "us", "GB/s", "#wrong");
}

void print_row(const char* what, std::size_t bytes, double seconds, std::size_t wrong) {
  std::printf("%-12s %12zu %12.1f %10.3f %8zu\n", what, bytes, seconds * 1e6,
              static_cast<double>(bytes) / seconds * 1e-9, wrong);
  std::fflush(stdout);
}

/// Median seconds of `repetitions` calls.
double median_seconds(const std::function<void()>& call, int repetitions) {
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = Clock::now();
    call();
    times.push_back(Seconds(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + repetitions / 2, times.end());
  return times[static_cast<std::size_t>(repetitions / 2)];
}

/// The same number on all ranks, since all have to make as many calls.
int repetitions_for(std::size_t bytes) {
  return static_cast<int>(std::clamp<std::size_t>((std::size_t{256} << 20) / (bytes + 1), 10, 500));
}

/// All-reduces of small whole numbers, whose sums are exact in any order, by `reduce`.
void bench_all_reduce(int rank, int size, const std::function<void(std::span<float>)>& reduce) {
  for (std::size_t bytes = 4; bytes <= (std::size_t{64} << 20); bytes *= 16) {
    std::vector<float> data(bytes / sizeof(float));
    const auto value = [](std::size_t i, int of_rank) {
      return static_cast<float>((i + static_cast<std::size_t>(of_rank)) % 97);
    };
    std::size_t wrong = 0;
    const double seconds = median_seconds(
        [&] {
          for (std::size_t i = 0; i < data.size(); i += 997) data[i] = value(i, rank);
          reduce(data);
        },
        repetitions_for(bytes));
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = value(i, rank);
    reduce(data);
    for (std::size_t i = 0; i < data.size(); ++i) {
      float sum = 0.0f;
      for (int other = 0; other < size; ++other) sum += value(i, other);
      wrong += data[i] != sum ? 1 : 0;
    }
    if (rank == 0) print_row("all_reduce", bytes, seconds, wrong);
  }
}

/// A message from rank 0 to rank 1 and back; the time is that of one way.
void bench_messages(int rank, const std::function<void(std::span<const std::byte>)>& send,
                    const std::function<void(std::vector<std::byte>&)>& receive) {
  for (std::size_t bytes = 1; bytes <= (std::size_t{16} << 20); bytes *= 16) {
    std::vector<std::byte> payload(bytes);
    for (std::size_t i = 0; i < bytes; ++i) payload[i] = static_cast<std::byte>(i * 31 & 0xff);
    std::vector<std::byte> arrived(bytes);
    const double seconds = median_seconds(
        [&] {
          if (rank == 0) send(payload);
          if (rank < 2) receive(arrived);
          if (rank == 1) send(arrived);
        },
        repetitions_for(bytes));
    std::size_t wrong = arrived.size() == bytes ? 0 : bytes;
    for (std::size_t i = 0; wrong == 0 && i < bytes; ++i) wrong += arrived[i] != payload[i] ? 1 : 0;
    if (rank == 0) print_row("message", bytes, seconds / 2, wrong);
  }
}

double processor_seconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0.0;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Share of a core that this process takes while its threads sleep for two seconds.
void bench_idle(Communicator& c, const char* what, const std::function<void()>& idle) {
  c.barrier(replica);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto start = Clock::now();
  const double before = processor_seconds();
  idle();
  const double share = (processor_seconds() - before) / Seconds(Clock::now() - start).count();
  if (c.rank() == 0) std::printf("# %s: %.2f%% of a core\n", what, share * 100.0);
}

void bench(Communicator& c) {
  if (c.rank() == 0) print_header(c.transport(), c.size());
  bench_all_reduce(c.rank(), c.size(), [&](std::span<float> data) { c.all_reduce(data, replica); });
  if (c.size() > 1) {
    bench_messages(
        c.rank(), [&](std::span<const std::byte> data) { c.post(1 - c.rank(), 0, data, replica); },
        [&](std::vector<std::byte>& data) {
          std::optional<Message> message = c.wait(0, std::chrono::seconds(60));
          data = message ? std::move(message->payload) : std::vector<std::byte>();
        });
  }
  bench_idle(c, "idle", [] { std::this_thread::sleep_for(std::chrono::seconds(2)); });
  bench_idle(c, "waiting in a collective for a rank that is 2 s late", [&] {
    if (c.rank() == c.size() - 1) std::this_thread::sleep_for(std::chrono::seconds(2));
    c.barrier(replica);
  });
}

#ifdef BENCH_RAW_MPI
void bench_raw() {
  BLOCKTRAIN_MPI(MPI_Init(nullptr, nullptr));
  int rank = 0;
  int size = 1;
  BLOCKTRAIN_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  BLOCKTRAIN_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size));
  if (rank == 0) print_header("raw MPI", size);
  bench_all_reduce(rank, size, [](std::span<float> data) {
    BLOCKTRAIN_MPI(
        MPI_Allreduce(MPI_IN_PLACE, data.data(), static_cast<int>(data.size()), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD));
  });
  if (size > 1) {
    bench_messages(
        rank,
        [&](std::span<const std::byte> data) {
          BLOCKTRAIN_MPI(MPI_Send(data.data(), static_cast<int>(data.size()), MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD));
        },
        [&](std::vector<std::byte>& data) {
          BLOCKTRAIN_MPI(MPI_Recv(data.data(), static_cast<int>(data.size()), MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD,
                                  MPI_STATUS_IGNORE));
        });
  }
  BLOCKTRAIN_MPI(MPI_Finalize());
}
#endif

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Latency and bandwidth of blocktrain's transports");
  std::string transport;
  int ranks = 4;
  app.add_option("transport", transport, "local, mpi (under mpirun) or raw (MPI itself, under mpirun)")
      ->required()
      ->check(CLI::IsMember({"local", "mpi", "raw"}));
  app.add_option("--ranks", ranks, "ranks of local")->check(CLI::Range(1, 1024));
  CLI11_PARSE(app, argc, argv);
  try {
    if (transport == "local") {
      run_local_world(ranks, bench);
    } else if (transport == "mpi") {
      const auto mpi = MpiWorld::start();
      bench(mpi->world());
      mpi->finish();
    } else {
#ifdef BENCH_RAW_MPI
      bench_raw();
#else
      std::fprintf(stderr, "built without MPI\n");
      return 2;
#endif
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
