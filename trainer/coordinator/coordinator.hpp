#pragma once
/// The coordinator: a thread on rank 0, no extra rank. It gathers what the ranks report, writes the ledger, names
/// committed checkpoints in the manifest once the rows they cover are on disk, shows progress, watches budgets and
/// ranks that fall silent, and decides how the run ends. Nobody waits for it but at the very end, and where a block
/// moves.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/host.hpp"
#include "kernels/running_clock.hpp"
#include "trainer/checkpoint/manifest_writer.hpp"
#include "trainer/checkpoint/resume.hpp"
#include "trainer/config/config.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/coordinator/budget_watch.hpp"
#include "trainer/coordinator/progress.hpp"
#include "trainer/coordinator/rebalancer.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/exchange/messages.hpp"
#include "trainer/ledger/run_ledger.hpp"
#include "trainer/plan/plan.hpp"
#include "trainer/run_folder/run_folder.hpp"

namespace blocktrain::trainer {

struct CoordinatorSettings {
  const Config& config;
  const Plan& plan;
  RunPaths paths;
  Experiment experiment;  ///< with the identity that the run got when it was started
  DataFacts data;
  std::string data_text;  ///< what they are, for people
  /// Samples::distinct_targets() of so many visits; may be empty.
  std::function<std::optional<std::int64_t>(std::int64_t visits)> distinct_targets;
  comm::HostMap hosts;
  std::vector<HostFacts> host_facts;
  std::vector<RankPlace> places;  ///< by rank: whose energy is whose
  std::string device;             ///< what the ranks compute on, for the ledger: device_names()
  ResumePlan resume;
  ProgressStyle progress = ProgressStyle::plain;
};

class Coordinator {
 public:
  /// Recovers and opens the ledger and takes over the manifest. Throws InputError or RunError.
  Coordinator(comm::Communicator& world, CoordinatorSettings settings);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  /// Starts the thread. It ends by telling every rank the exit code of the run; an error of its own ends the run
  /// with 1. Where a rank was given up, it ends the job instead, this process included, once the others have saved:
  /// half of parallel.timeout_seconds later at the latest.
  void start();
  void join();

  /// Earlier sessions have spent a budget: no step may be taken. Known before start().
  bool budget_is_spent() const { return !budget_spent_.empty(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Rank {
    RunningClock::time_point last_heard;
    bool ended = false, closed = false;  ///< both, too, of a rank that was given up
    int code = 0;
  };
  struct BlockEnding {
    int ranks_left = 0;
    std::int64_t step = 0;
    BlockEnd how = BlockEnd::done;
  };

  void run();
  void gather();
  void handle(int source, const Report& report);
  void take_packet(const Report& report);
  void end_block(int source, const Report& report);
  /// Writes the block's row of failure, once.
  void fail_block(int block, std::int64_t step, int rank, const std::string& why);
  void hand_over(int source, const Report& report);
  void commit_checkpoints();
  void tell(ControlKind kind, int code);
  void ask_to_stop(const std::string& why);
  void watch_budget();
  void watch_ranks();
  void give_up(int rank, double silent_seconds);
  /// Ends the job without waiting for any rank.
  [[noreturn]] void leave();
  std::string energy_text() const;
  int finish();
  int exit_code() const;
  bool all_done() const;
  void print_summary(const std::string& status) const;

  comm::Communicator& world_;
  CoordinatorSettings settings_;
  std::unique_ptr<RunLedger> ledger_;
  std::unique_ptr<ManifestWriter> manifest_;
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<Rebalancer> rebalancer_;  ///< null where blocks stay where they are
  std::vector<Rank> ranks_;
  std::vector<BlockEnding> blocks_;
  struct Checkpoint {
    CommittedFile file;
    double seconds = 0;
  };
  std::deque<Checkpoint> checkpoints_;  ///< committed by their ranks, not yet named by the manifest
  std::string energy_missing_;          ///< why a source is not measured
  BudgetWatch budget_;
  std::string budget_spent_;  ///< which budget ends the run, in words; empty: none
  Clock::time_point started_, last_heartbeat_{}, last_tick_{};
  bool interrupted_ = false;  ///< a signal asked for the end
  bool stopping_ = false;
  bool failed_ = false;
  std::optional<RunningClock::time_point> leave_by_;  ///< set once a rank was given up: nobody waits any longer
  int failure_code_ = 0;
  std::string message_;
  double first_step_seconds_ = -1;  ///< from start to the first step's record
  std::thread thread_;
};

}  // namespace blocktrain::trainer
