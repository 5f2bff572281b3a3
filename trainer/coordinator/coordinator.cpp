#include "trainer/coordinator/coordinator.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "kernels/error.hpp"
#include "kernels/start_thread.hpp"
#include "trainer/coordinator/summary.hpp"
#include "trainer/ledger/recovery.hpp"
#include "trainer/ledger/totals.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/support/version.hpp"

namespace blocktrain::trainer {
namespace {

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

void say(const std::string& text) { complain(text); }

std::vector<std::int64_t> start_steps(const ResumePlan& resume) {
  std::vector<std::int64_t> steps;
  for (const ResumePoint& p : resume.blocks) steps.push_back(p.step);
  return steps;
}

}  // namespace

Coordinator::Coordinator(comm::Communicator& world, CoordinatorSettings settings)
    : world_(world),
      settings_(std::move(settings)),
      ranks_(static_cast<std::size_t>(world.size())),
      budget_(settings_.config.budget, settings_.config.energy.price_usd_per_kwh),
      started_(Clock::now()) {
  const Config& config = settings_.config;
  const Plan& plan = settings_.plan;
  for (const std::string& warning : settings_.resume.warnings) say("warning: " + warning);

  // Also where no checkpoint was ever committed: what the ledger holds was spent all the same.
  const RecoveryReport recovered = recover_ledger(settings_.paths.root, start_steps(settings_.resume));
  const std::string note = describe(recovered);
  if (recovered.existed) {
    budget_.count_before(read_totals(settings_.paths.ledger()));
    budget_spent_ = budget_.spent({});
  }
  manifest_ = std::make_unique<ManifestWriter>(settings_.paths.root, settings_.experiment, settings_.resume);
  for (const std::string& warning : manifest_->warnings()) say("warning: " + warning);

  RunLedgerOptions options;
  options.directory = settings_.paths.root;
  options.first_step = start_steps(settings_.resume);
  options.places = settings_.places;
  options.price_usd_per_kwh = config.energy.price_usd_per_kwh;
  options.masks = plan.levels == blocks::Levels::masked;
  // Rows only wait; a rank that writes a checkpoint reports nothing meanwhile.
  options.patience = std::chrono::milliseconds(
      static_cast<std::int64_t>((config.parallel.timeout_seconds + 2 * config.energy.sample_seconds) * 1000));
  ledger_ = std::make_unique<RunLedger>(options);

  RunStart start;
  start.version = version();
  start.config = to_yaml(config);
  start.ranks = world.size();
  start.blocks = static_cast<int>(plan.blocks.size());
  start.transport = world.transport();
  start.training = name_of(config.blocks.training);
  start.hosts = settings_.host_facts;
  start.extra = {{"experiment", settings_.experiment.identity},
                 {"data_digest", settings_.data.digest},
                 {"device", settings_.device}};
  ledger_->start(start);
  if (recovered.existed) ledger_->resumed(note);

  const bool live = settings_.progress == ProgressStyle::live;
  if (settings_.progress != ProgressStyle::none) {
    progress_ = std::make_unique<Progress>(stdout, live ? watched_terminal(STDOUT_FILENO) : AskTerminalSize(),
                                           static_cast<int>(plan.blocks.size()), options.masks);
    print_start(config, plan, settings_.data_text, settings_.host_facts, world.transport(), settings_.resume, note);
  }
  for (const BlockPlan& b : plan.blocks) {
    BlockEnding e;
    e.ranks_left = static_cast<int>(plan.placement.ranks_of_block[static_cast<std::size_t>(b.place.index)].size());
    blocks_.push_back(e);
  }
  if (plan.rebalances) {
    RebalancerSettings rebalancing;
    rebalancing.fits = [this](int rank, int block) {
      return rank_can_take(settings_.plan, settings_.config, settings_.data.layout, rank, block);
    };
    rebalancing.send = [this](int rank, const Control& message) {
      world_.post(rank, tag_control, encode(message), comm::TrafficPurpose::control);
    };
    rebalancing.steps = config.budget.steps;
    // Its owner takes about one visit to answer, and would be halfway through what is left.
    rebalancing.worth_steps = 2 * config.parallel.steps_per_visit;
    rebalancer_ = std::make_unique<Rebalancer>(plan, start_steps(settings_.resume), std::move(rebalancing));
  }
}

Coordinator::~Coordinator() { join(); }

void Coordinator::start() {
  thread_ = start_thread("the coordinator", [this] { run(); });
}

void Coordinator::join() {
  if (thread_.joinable()) thread_.join();
}

void Coordinator::run() {
  int code = 1;
  try {
    for (Rank& r : ranks_) r.last_heard = RunningClock::now();
    gather();
    code = finish();
  } catch (const std::exception& e) {
    if (progress_) progress_->draw(Clock::now(), true);
    say("the run ends: " + message_of(e));
    code = 1;
  }
  if (leave_by_) leave();
  tell(ControlKind::finished, code);
}

/// Until every rank has ended and has nothing more to report.
void Coordinator::gather() {
  bool closing = false;
  while (true) {
    if (const auto message = world_.wait(tag_report, std::chrono::milliseconds(50))) {
      handle(message->source, decode_report(message->payload));
      while (const auto more = world_.poll(tag_report)) handle(more->source, decode_report(more->payload));
    }
    commit_checkpoints();
    if (seconds_since(last_tick_) > 1) {
      last_tick_ = Clock::now();
      ledger_->tick(monotonic_ns());
      watch_budget();
      watch_ranks();
      tell(ControlKind::alive, 0);
    }
    if (progress_) {
      progress_->set_energy(energy_text());
      progress_->draw(Clock::now());
    }
    const auto all = [this](bool Rank::*what) {
      return std::all_of(ranks_.begin(), ranks_.end(), [what](const Rank& r) { return r.*what; });
    };
    if (!closing && all(&Rank::ended)) {
      closing = true;
      tell(ControlKind::close, 0);
    }
    if (closing && all(&Rank::closed)) return;
    if (leave_by_ && RunningClock::now() >= *leave_by_) return;
  }
}

void Coordinator::handle(int source, const Report& report) {
  Rank& rank = ranks_[static_cast<std::size_t>(source)];
  if (leave_by_ && rank.closed) return;  // it was given up, and is late
  rank.last_heard = RunningClock::now();
  switch (report.kind) {
    case ReportKind::alive:
      if (report.code == 1) {
        interrupted_ = true;
        ask_to_stop("a signal asked for the end: saving");
      }
      break;
    case ReportKind::packet:
      take_packet(report);
      break;
    case ReportKind::checkpoint:
      checkpoints_.push_back(
          {{report.text, report.block, report.step, static_cast<std::uint64_t>(report.size), report.digest},
           report.seconds});
      break;
    case ReportKind::evaluation: {
      double values[2] = {0, 0};
      std::memcpy(values, report.bytes.data(), std::min(report.bytes.size(), sizeof(values)));
      EvalRow row;
      row.block = report.block;
      row.step = report.step;
      row.samples = report.size;
      row.seconds = report.seconds;
      row.metrics = {{"heldout_loss", values[0]}, {"heldout_unweighted", values[1]}};
      ledger_->eval(row);
      break;
    }
    case ReportKind::block_end:
      end_block(source, report);
      break;
    case ReportKind::idle:
      if (rebalancer_) rebalancer_->idle(source);
      break;
    case ReportKind::migration_granted:
    case ReportKind::migration_declined:
      hand_over(source, report);
      break;
    case ReportKind::rank_end:
      rank.ended = true;
      rank.code = report.code;
      if (rebalancer_) rebalancer_->gone(source);
      ledger_->rank_done(source);
      if (report.code != 0) {
        failed_ = true;
        failure_code_ = std::max(failure_code_, report.code);
        const std::string text = fmt::format("rank {}: {}", source, report.text);
        if (!report.text.empty()) {
          if (message_.empty()) message_ = text;
          say(text);
        }
        ask_to_stop(settings_.plan.coupling.coupled() ? "a rank failed: the others, whose blocks share a table, end"
                                                      : "a rank failed: the others save and end");
      }
      break;
    case ReportKind::closed:
      rank.closed = true;
      break;
  }
}

void Coordinator::take_packet(const Report& report) {
  LedgerPacket packet;
  const std::string wrong = decode(report.bytes, packet);
  if (!wrong.empty()) throw RunError("a rank sent damaged ledger records: " + wrong);
  for (const SourceStatus& s : packet.sources) {
    if (!s.available && s.source == EnergySource::cpu) energy_missing_ = s.reason;
  }
  if (progress_) {
    for (const StepRecord& r : packet.steps) {
      if (r.replica == 0) progress_->step(r, settings_.config.budget.steps, Clock::now());
    }
  }
  if (rebalancer_) {
    for (const StepRecord& r : packet.steps) rebalancer_->progressed(r.block, r.step + 1);
  }
  for (const StepRecord& r : packet.steps) {
    BlockEnding& b = blocks_.at(static_cast<std::size_t>(r.block));
    b.step = std::max(b.step, r.step + 1);
  }
  if (first_step_seconds_ < 0 && !packet.steps.empty()) first_step_seconds_ = seconds_since(started_);
  ledger_->add(packet, monotonic_ns());
}

void Coordinator::end_block(int source, const Report& report) {
  BlockEnding& b = blocks_.at(static_cast<std::size_t>(report.block));
  --b.ranks_left;
  b.step = report.step;
  const auto how = static_cast<BlockEnd>(report.code);
  if (how == BlockEnd::failed && b.how != BlockEnd::failed) {
    const std::string text = fmt::format("block {} stopped: {}", report.block, report.text);
    say(text + (settings_.plan.coupling.coupled()
                    ? "; the other blocks, which share a table with it, end where they meet it next, if they do"
                    : "; the other blocks go on"));
    if (message_.empty()) message_ = text;
    fail_block(report.block, report.step, source, report.text);
  }
  if (b.how != BlockEnd::failed) b.how = how;
  if (b.ranks_left > 0) return;
  if (rebalancer_) rebalancer_->ended(report.block);
  if (progress_) progress_->set_state(report.block, std::string(name_of(b.how)));
}

void Coordinator::fail_block(int block, std::int64_t step, int rank, const std::string& why) {
  BlockEnding& b = blocks_.at(static_cast<std::size_t>(block));
  if (b.how == BlockEnd::failed) return;
  b.how = BlockEnd::failed;
  failed_ = true;
  failure_code_ = std::max(failure_code_, 1);
  ledger_->failed(block, step, rank, why);
}

/// An owner's reply to a request for one of its blocks.
void Coordinator::hand_over(int source, const Report& report) {
  if (!rebalancer_) return;
  const bool granted = report.kind == ReportKind::migration_granted;
  if (!rebalancer_->replied(source, report.code, granted, report.step, report.size)) {
    if (granted) throw RunError(fmt::format("rank {} sends block {}, which nobody waits for", source, report.block));
    return;
  }
  if (progress_) {
    show("rank {} takes block {} over from rank {} at step {}\n", rebalancer_->owner(report.block), report.block,
         source, report.step);
  }
}

void Coordinator::commit_checkpoints() {
  std::vector<CommittedFile> ready;  // together, for each sync takes its time
  for (auto it = checkpoints_.begin(); it != checkpoints_.end();) {
    // Nothing may be resumed from a checkpoint whose steps the ledger does not hold yet.
    if (ledger_->written_through(it->file.block) < it->file.step - 1) {
      ++it;
      continue;
    }
    CheckpointRow row;
    row.block = it->file.block;
    row.step = it->file.step;
    row.file = it->file.name;
    row.sha256 = it->file.sha256;
    row.bytes = static_cast<std::int64_t>(it->file.bytes);
    row.seconds = it->seconds;
    ledger_->checkpoint(row);
    ready.push_back(it->file);
    it = checkpoints_.erase(it);
  }
  if (ready.empty()) return;
  ledger_->sync();
  manifest_->add(ready);
  const bool coupled = settings_.plan.coupling.coupled();
  for (const std::string& warning : manifest_->prune(settings_.config.checkpoint.keep, coupled).warnings)
    say("warning: " + warning);
}

void Coordinator::tell(ControlKind kind, int code) {
  const std::vector<std::byte> bytes = encode(Control{kind, code});
  for (int r = 0; r < world_.size(); ++r) world_.post(r, tag_control, bytes, comm::TrafficPurpose::control);
}

void Coordinator::ask_to_stop(const std::string& why) {
  if (stopping_) return;
  stopping_ = true;
  if (progress_) show("{}\n", why);
  if (rebalancer_) rebalancer_->stop();
  tell(ControlKind::stop, 0);
}

void Coordinator::watch_budget() {
  if (!budget_spent_.empty()) return;
  Spending session;
  for (const double j : ledger_->energy().measured) session.joules += j;
  session.tokens = static_cast<double>(ledger_->tokens());
  session.seconds = seconds_since(started_);
  budget_spent_ = budget_.spent(session);
  if (!budget_spent_.empty()) ask_to_stop(budget_spent_ + ": saving");
}

std::string Coordinator::energy_text() const {
  const EnergySums e = ledger_->energy();
  double joules = 0;
  bool any = false;
  for (std::size_t s = 0; s < energy_sources; ++s) {
    any = any || e.measured_at_all[s];
    joules += e.measured[s];
  }
  if (any) return fmt::format("{:.0f} J", joules);
  return "joules: none measured" + (energy_missing_.empty() ? std::string() : " (" + energy_missing_ + ")");
}

int Coordinator::exit_code() const {
  if (failed_) return std::max(1, failure_code_);
  return interrupted_ && !all_done() ? exit_interrupted : 0;
}

bool Coordinator::all_done() const {
  return std::all_of(blocks_.begin(), blocks_.end(), [](const BlockEnding& b) { return b.how == BlockEnd::done; });
}

int Coordinator::finish() {
  commit_checkpoints();
  const int code = exit_code();
  SessionEnd end;
  const bool by_budget = code == 0 && !all_done() && budget_is_spent();
  end.status = failed_ ? "failed" : code == exit_interrupted ? "interrupted" : by_budget ? "budget_spent" : "finished";
  end.message = message_;
  if (by_budget) {
    std::vector<std::int64_t> steps;
    for (const BlockEnding& b : blocks_) steps.push_back(b.step);
    end.message = budget_spent_ + "; " + progress_of_blocks(steps, settings_.config.budget.steps);
  }
  end.seconds = seconds_since(started_);
  std::int64_t furthest = 0;
  for (const BlockEnding& b : blocks_) furthest = std::max(furthest, b.step);
  const std::int64_t visits = furthest * settings_.plan.batch;
  const std::optional<std::int64_t> distinct =
      settings_.distinct_targets ? settings_.distinct_targets(visits) : std::nullopt;
  end.distinct_tokens = distinct.value_or(std::min(visits, settings_.data.training_samples) *
                                          settings_.plan.blocks.front().tokens_per_sample);
  ledger_->finish(end);
  // Rows that had to wait for energy that never came are written now.
  for (const Checkpoint& c : checkpoints_) {
    if (ledger_->durable_through(c.file.block) >= c.file.step - 1) manifest_->add(c.file);
  }
  if (progress_) {
    progress_->set_energy(energy_text());
    progress_->draw(Clock::now(), true);
    print_end(settings_.config, settings_.plan, settings_.data, settings_.paths, end.status, first_step_seconds_);
  }
  if (by_budget) {
    const char* const what = first_step_seconds_ < 0 ? "no step was taken: " : "ended by a budget: ";
    say(what + end.message + ". To go on, raise that budget and give the same command with --resume");
  }
  if (code == exit_interrupted) {
    say("interrupted and saved in '" + settings_.paths.root + "'; to go on, give the same command again with --resume");
  }
  return code;
}

}  // namespace blocktrain::trainer
