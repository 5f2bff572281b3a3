#pragma once
/// The service thread of a rank. The training thread hands it step records without waiting or allocating; it carries
/// them to the coordinator, writes checkpoints, hears the coordinator and watches for its own rank's signals,
/// and samples the energy of the host and of the GPU boards that this rank owns.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/running_clock.hpp"
#include "trainer/checkpoint/commit.hpp"
#include "trainer/exchange/messages.hpp"
#include "trainer/ledger/energy/gpu_boards.hpp"
#include "trainer/ledger/energy/host_sampler.hpp"
#include "trainer/ledger/record_ring.hpp"
#include "trainer/plan/rank_memory.hpp"
#include "trainer/worker/device_runtime.hpp"
#include "trainer/worker/heldout.hpp"

namespace blocktrain::trainer {

struct ReporterSettings {
  std::string run_folder;
  std::string experiment;  ///< identity of the run (ResumePlan::experiment)
  TrainingMode training = TrainingMode::block_local;
  std::chrono::milliseconds timeout{120000};
  int host = 0;
  bool samples_energy = false;  ///< this rank owns its host's sensors of CPUs and memory
  std::vector<GpuInUse> gpus;   ///< boards that this rank samples: GpuAssignment::owned_by()
  std::string powercap_root;
  double sample_seconds = 1;
  std::size_t host_arena_bytes = 0;          ///< of its process; the rest of what is resident is the libraries'
  DeviceRuntimeMeter* gpu_memory = nullptr;  ///< of its GPU, not owned; null on a CPU
};

/// A disk may be slow, but not silent for ever: how long writing a checkpoint may take, in ReporterSettings::timeout.
inline constexpr int most_timeouts_of_save = 10;

class Reporter {
 public:
  Reporter(comm::Communicator& world, const ReporterSettings& settings);
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  // ---- training thread; nothing here allocates, save() and those that end excepted after the last step ----

  RecordRing& ring() { return ring_; }
  /// The coordinator, or a signal on this rank, wants the run saved and ended.
  bool stop_asked() const { return stop_.load(std::memory_order_relaxed); }
  /// Bytes of this process outside the arenas, a moment ago: in host memory, and on its GPU.
  std::int64_t runtime_bytes() const { return runtime_bytes_.load(std::memory_order_relaxed); }
  DeviceRuntime device_runtime() const {
    return settings_.gpu_memory == nullptr ? DeviceRuntime{} : settings_.gpu_memory->latest();
  }
  /// Writes the state of `block`, where find_unusable() finds nothing, as a block file and tells the coordinator,
  /// behind all records pushed so far. Returns when the file is durable; throws what the service thread met.
  void save(const OwnedBlock& block, std::uint64_t seed);
  /// This block takes no more steps on this rank.
  void block_ended(int block, std::int64_t step, BlockEnd how, const std::string& why);
  /// A held-out loss measured while training.
  void evaluated(int block, std::int64_t step, const HeldoutLoss& heldout, double seconds);

  /// What the coordinator asked this rank to send to another, once for each request.
  std::optional<Control> migration_request();
  /// The reply: the block leaves at `step`, its newest checkpoint being of step `saved`; or it stays.
  void grant(const Control& request, std::int64_t step, std::int64_t saved);
  void decline(const Control& request);
  /// The rank has no block left: waits for one to receive, or to hear that there is none. Throws what the
  /// service thread met.
  std::optional<Control> wait_for_block();

  /// All blocks of the rank have ended: reports it, waits for the coordinator to close the run, and returns the exit
  /// code the coordinator decided on. Throws RunError when it falls silent.
  int finish(int code, const std::string& message);

 private:
  struct SaveRequest {
    const OwnedBlock* block = nullptr;
    std::uint64_t seed = 0;
  };
  void run();
  void work(std::unique_lock<std::mutex>& lock);
  void send_packet();
  void write_checkpoint(const SaveRequest& request);
  void hear();
  void post(const Report& report);
  void measure_runtime();

  comm::Communicator& world_;
  ReporterSettings settings_;
  RecordRing ring_;
  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> runtime_bytes_{-1};

  std::mutex mutex_;
  std::condition_variable wake_, answered_;
  SaveRequest request_;                       // guarded by mutex_
  bool request_open_ = false;                 // guarded by mutex_
  std::exception_ptr failure_;                // guarded by mutex_; ended the service thread
  std::exception_ptr save_failure_;           // guarded by mutex_; of the last save
  std::vector<Report> outbox_;                // guarded by mutex_
  bool finished_ = false;                     // guarded by mutex_
  bool quit_ = false;                         // guarded by mutex_
  int finish_code_ = 0;                       // guarded by mutex_
  std::optional<Control> migration_;          // guarded by mutex_; not looked at yet
  std::atomic<bool> migration_asked_{false};  // there is one
  std::optional<Control> arrival_;            // guarded by mutex_; `receive_block` or `no_block`, not looked at yet

  std::mutex energy_mutex_;
  std::vector<EnergyRecord> energy_;   // guarded by energy_mutex_
  std::vector<SourceStatus> sources_;  // guarded by energy_mutex_
  std::unique_ptr<HostEnergySampler> sampler_;

  // of the service thread alone
  LedgerPacket packet_;
  std::vector<std::byte> bytes_;
  std::chrono::steady_clock::time_point last_post_{}, last_measure_{};
  RunningClock::time_point last_heard_{};
  bool signal_told_ = false;

  std::thread thread_;
};

}  // namespace blocktrain::trainer
