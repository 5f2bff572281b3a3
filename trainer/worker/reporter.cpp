#include "trainer/worker/reporter.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"
#include "trainer/ledger/energy/host_sensors.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/file_system.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/support/while_writing.hpp"

namespace blocktrain::trainer {
namespace {

using Clock = std::chrono::steady_clock;  // for what happens now and then
constexpr std::chrono::milliseconds period{20};
constexpr std::chrono::milliseconds heartbeat{1000};
constexpr std::size_t ring_capacity = 4096;

/// Resident bytes of this process; -1 when the system does not tell.
std::int64_t resident_bytes() {
  const FileDescriptor file(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  if (!file.open()) return -1;
  char text[128];
  const ssize_t n = read(file.get(), text, sizeof(text) - 1);
  if (n <= 0) return -1;
  text[n] = 0;
  long total = 0, resident = 0;
  if (std::sscanf(text, "%ld %ld", &total, &resident) != 2) return -1;
  return static_cast<std::int64_t>(resident) * sysconf(_SC_PAGESIZE);
}

/// The coordinator is ending the job, and this process with it; should that not reach it, it ends by itself.
[[noreturn]] void be_ended(int code) {
  std::this_thread::sleep_for(std::chrono::seconds(5));
  _exit(code);
}

}  // namespace

Reporter::Reporter(comm::Communicator& world, const ReporterSettings& settings)
    : world_(world), settings_(settings), ring_(ring_capacity, settings.timeout) {
  if (settings_.samples_energy || !settings_.gpus.empty()) {
    EnergyListener listener;
    listener.energy = [this](const EnergyRecord& r) {
      const std::lock_guard lock(energy_mutex_);
      energy_.push_back(r);
    };
    listener.status = [this](const SourceStatus& s) {
      const std::lock_guard lock(energy_mutex_);
      sources_.push_back(s);
    };
    auto sensors =
        settings_.samples_energy ? host_sensors(settings_.powercap_root, settings_.gpus) : gpu_sensors(settings_.gpus);
    sampler_ = std::make_unique<HostEnergySampler>(std::move(sensors), settings_.host, settings_.sample_seconds,
                                                   std::move(listener));
  }
  last_heard_ = RunningClock::now();
  measure_runtime();
  thread_ = start_thread("reports and checkpoints", [this] { run(); });
}

Reporter::~Reporter() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  sampler_.reset();
}

void Reporter::save(const OwnedBlock& block, std::uint64_t seed) {
  std::unique_lock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  request_ = {&block, seed};
  request_open_ = true;
  wake_.notify_all();
  const auto patience = most_timeouts_of_save * settings_.timeout;
  if (!wait_running(answered_, lock, RunningClock::now() + patience,
                    [this] { return !request_open_ || failure_ || finished_; })) {
    throw RunError("rank " + std::to_string(world_.rank()) + ": writing the checkpoint of block " +
                   std::to_string(block.block) + " did not end within " + std::to_string(patience.count() / 1000) +
                   " s; is the file system of log.directory alive?");
  }
  if (failure_) std::rethrow_exception(failure_);
  if (request_open_) throw QuietExit(finish_code_);  // the coordinator has ended the run; it said why
  if (save_failure_) std::rethrow_exception(std::exchange(save_failure_, nullptr));
}

void Reporter::block_ended(int block, std::int64_t step, BlockEnd how, const std::string& why) {
  Report r;
  r.kind = ReportKind::block_end;
  r.block = block;
  r.step = step;
  r.code = static_cast<std::int32_t>(how);
  r.text = why;
  const std::lock_guard lock(mutex_);
  outbox_.push_back(std::move(r));
}

void Reporter::evaluated(int block, std::int64_t step, const HeldoutLoss& heldout, double seconds) {
  Report r;
  r.kind = ReportKind::evaluation;
  r.block = block;
  r.step = step;
  r.size = heldout.samples;
  r.seconds = seconds;
  r.bytes.resize(2 * sizeof(double));
  std::memcpy(r.bytes.data(), &heldout.loss, sizeof(double));
  std::memcpy(r.bytes.data() + sizeof(double), &heldout.mse, sizeof(double));
  const std::lock_guard lock(mutex_);
  outbox_.push_back(std::move(r));
}

std::optional<Control> Reporter::migration_request() {
  if (!migration_asked_.load(std::memory_order_relaxed)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  migration_asked_.store(false, std::memory_order_relaxed);
  return std::exchange(migration_, std::nullopt);
}

void Reporter::grant(const Control& request, std::int64_t step, std::int64_t saved) {
  Report r;
  r.kind = ReportKind::migration_granted;
  r.block = request.block;
  r.code = request.code;
  r.step = step;
  r.size = saved;
  const std::lock_guard lock(mutex_);
  outbox_.push_back(std::move(r));
}

void Reporter::decline(const Control& request) {
  Report r;
  r.kind = ReportKind::migration_declined;
  r.block = request.block;
  r.code = request.code;
  const std::lock_guard lock(mutex_);
  outbox_.push_back(std::move(r));
}

std::optional<Control> Reporter::wait_for_block() {
  Report r;
  r.kind = ReportKind::idle;
  std::unique_lock lock(mutex_);
  outbox_.push_back(std::move(r));
  // As in finish(), other ranks may train for hours yet.
  answered_.wait(lock, [this] { return arrival_ || finished_ || failure_; });
  if (failure_) std::rethrow_exception(failure_);
  if (!arrival_) throw QuietExit(finish_code_);
  const Control message = *std::exchange(arrival_, std::nullopt);
  return message.kind == ControlKind::receive_block ? std::optional(message) : std::nullopt;
}

int Reporter::finish(int code, const std::string& message) {
  Report r;
  r.kind = ReportKind::rank_end;
  r.code = code;
  r.text = message;
  std::unique_lock lock(mutex_);
  outbox_.push_back(std::move(r));
  wake_.notify_all();
  // No deadline of its own: other blocks may train for hours yet. The service thread gives up (failure_) when the
  // coordinator's heartbeat stays away.
  answered_.wait(lock, [this] { return finished_ || failure_; });
  if (!finished_) std::rethrow_exception(failure_);
  return finish_code_;
}

void Reporter::run() {
  std::unique_lock lock(mutex_);
  try {
    while (!quit_ && !finished_) {
      wake_.wait_for(lock, period, [this] { return quit_ || request_open_; });
      work(lock);
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure_ = std::current_exception();
    stop_.store(true, std::memory_order_relaxed);
  }
  answered_.notify_all();
  if (!failure_) return;
  // The training thread ends after its step, and says why. One that is held up for long, perhaps by a rank that is
  // lost, is not waited for: this rank could tell nobody any more that it lives.
  if (wait_running(wake_, lock, RunningClock::now() + settings_.timeout / 2, [this] { return quit_; })) return;
  try {
    std::rethrow_exception(failure_);
  } catch (const std::exception& e) {
    complain(message_of(e));
  }
  world_.abort(1);
}

/// One round: what was recorded, what is to be saved, what is to be said, what was heard. Takes and returns the lock
/// held.
void Reporter::work(std::unique_lock<std::mutex>& lock) {
  const bool save_now = request_open_;
  const SaveRequest request = request_;
  std::vector<Report> outbox;
  outbox.swap(outbox_);
  lock.unlock();

  if (Clock::now() - last_measure_ > heartbeat) measure_runtime();
  send_packet();
  std::exception_ptr save_failure;
  if (save_now) {
    try {
      write_checkpoint(request);
    } catch (...) {
      save_failure = std::current_exception();  // for the one who asked; this thread goes on
    }
  }
  for (const Report& r : outbox) post(r);
  if (stop_requested() && !signal_told_) {
    signal_told_ = true;
    stop_.store(true, std::memory_order_relaxed);
    Report r;
    r.code = 1;
    post(r);
  } else if (Clock::now() - last_post_ > heartbeat) {
    post(Report{});
  }
  hear();

  lock.lock();
  if (save_now) {
    save_failure_ = save_failure;
    request_open_ = false;
    answered_.notify_all();
  }
  if (finished_ || arrival_) answered_.notify_all();
}

void Reporter::post(const Report& report) {
  world_.post(0, tag_report, encode(report), comm::TrafficPurpose::control);
  last_post_ = Clock::now();
}

void Reporter::send_packet() {
  packet_.clear();
  {
    const std::lock_guard lock(energy_mutex_);
    packet_.energy.swap(energy_);
    packet_.sources.swap(sources_);
  }
  const BusyMark mark = ring_.drain(packet_, world_.rank());
  // A mark alone is worth a message now and then: it lets the coordinator share out energy during a long step.
  if (packet_.empty() && Clock::now() - last_post_ < heartbeat) return;
  packet_.marks.push_back(mark);
  Report r;
  r.kind = ReportKind::packet;
  encode(packet_, bytes_);
  r.bytes = bytes_;
  post(r);
}

void Reporter::write_checkpoint(const SaveRequest& request) {
  const OwnedBlock& b = *request.block;
  const blocks::BlockPlace& place = b.network->place();
  BlockFileHeader header;
  header.block = b.block;
  header.blocks = place.count;
  header.step = b.state.step;
  header.seed = request.seed;
  header.experiment = settings_.experiment;
  header.training = settings_.training;
  header.first_layer = place.first_layer;
  header.layers = place.layers;
  const Clock::time_point begin = Clock::now();
  const auto tensors = checkpoint_tensors(b);
  CommittedFile file;
  while_writing([&] { file = commit_block(settings_.run_folder, header, b.network->parameters(), tensors); },
                [this] { post(Report{}); }, heartbeat, most_timeouts_of_save * settings_.timeout);
  Report r;
  r.kind = ReportKind::checkpoint;
  r.block = file.block;
  r.step = file.step;
  r.text = file.name;
  r.digest = file.sha256;
  r.size = static_cast<std::int64_t>(file.bytes);
  r.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  post(r);
}

void Reporter::hear() {
  while (const auto message = world_.poll(tag_control)) {
    last_heard_ = RunningClock::now();
    const Control c = decode_control(message->payload);
    switch (c.kind) {
      case ControlKind::alive:
        break;
      case ControlKind::stop:
        stop_.store(true, std::memory_order_relaxed);
        break;
      case ControlKind::close: {
        if (sampler_) sampler_->stop();
        send_packet();
        Report r;
        r.kind = ReportKind::closed;
        post(r);
        break;
      }
      case ControlKind::finished: {
        const std::lock_guard lock(mutex_);
        finished_ = true;
        finish_code_ = c.code;
        stop_.store(true, std::memory_order_relaxed);
        break;
      }
      case ControlKind::abort:
        be_ended(c.code);  // does not return
      case ControlKind::migration_request: {
        const std::lock_guard lock(mutex_);
        migration_ = c;
        migration_asked_.store(true, std::memory_order_relaxed);
        break;
      }
      case ControlKind::receive_block:
      case ControlKind::no_block: {
        const std::lock_guard lock(mutex_);
        arrival_ = c;
        break;
      }
    }
  }
  if (RunningClock::now() - last_heard_ > settings_.timeout) {
    throw RunError("rank " + std::to_string(world_.rank()) + ": nothing was heard from the coordinator (rank 0) for " +
                   std::to_string(settings_.timeout.count() / 1000) +
                   " s (parallel.timeout_seconds); it is lost. What is committed is safe: continue with --resume");
  }
}

void Reporter::measure_runtime() {
  last_measure_ = Clock::now();
  const std::int64_t resident = resident_bytes();
  if (resident >= 0) {
    runtime_bytes_.store(std::max<std::int64_t>(0, resident - static_cast<std::int64_t>(settings_.host_arena_bytes)),
                         std::memory_order_relaxed);
  }
  if (settings_.gpu_memory != nullptr) settings_.gpu_memory->measure();
}

}  // namespace blocktrain::trainer
