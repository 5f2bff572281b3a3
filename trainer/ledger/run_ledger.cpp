#include "trainer/ledger/run_ledger.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void refuse(const StepRecord& record, const std::string& why) {
  throw RunError("the ledger cannot take step " + std::to_string(record.step) + " of block " +
                 std::to_string(record.block) + " from rank " + std::to_string(record.rank) + ": " + why);
}

}  // namespace

RunLedger::RunLedger(const RunLedgerOptions& options)
    : writer_(options.directory),
      price_(options.price_usd_per_kwh),
      masks_(options.masks),
      blocks_(options.first_step.size()),
      apportioner_(options.places, options.patience,
                   [this](const StepRecord& record, const StepEnergy& energy) { take(record, energy); }) {
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    blocks_[b].first = blocks_[b].next = blocks_[b].durable_next = options.first_step[b];
  }
}

void RunLedger::start(const RunStart& start) { writer_.run_start(start); }

void RunLedger::resumed(std::string_view note) {
  std::vector<std::int64_t> steps;
  for (const Block& block : blocks_) steps.push_back(block.first);
  writer_.resume(steps, note);
}

void RunLedger::receive(std::span<const std::byte> bytes, std::int64_t now) {
  if (const std::string wrong = decode(bytes, packet_); !wrong.empty()) throw RunError(wrong);
  add(packet_, now);
}

void RunLedger::add(const LedgerPacket& packet, std::int64_t now) {
  // In the order in which they ran: a record says that nothing unknown ran before its end.
  auto work = packet.work.begin();
  for (const StepRecord& record : packet.steps) {
    for (; work != packet.work.end() && work->busy_begin < record.busy_begin; ++work) add(*work, now);
    add(record, now);
  }
  for (; work != packet.work.end(); ++work) add(*work, now);
  for (const BusyMark& mark : packet.marks) add(mark);
  for (const EnergyRecord& record : packet.energy) add(record);
  for (const SourceStatus& status : packet.sources) add(status);
}

void RunLedger::add(const StepRecord& record, std::int64_t now) {
  if (record.block < 0 || record.block >= static_cast<int>(blocks_.size())) {
    refuse(record, "there are " + std::to_string(blocks_.size()) + " blocks");
  }
  apportioner_.add(record, now);
}

void RunLedger::add(const WorkRecord& record, std::int64_t now) { apportioner_.add(record, now); }

void RunLedger::add(const BusyMark& mark) { apportioner_.add(mark); }

void RunLedger::add(const EnergyRecord& record) {
  writer_.energy(record);
  apportioner_.add(record);
}

void RunLedger::add(const SourceStatus& status) {
  writer_.sensor(status);
  // That a host uses no GPU takes nothing from what the boards of others measure.
  const bool unused = status.source == EnergySource::gpu && status.device == -1;
  if (!status.available && unused) gpu_unused_ = status.reason;
  if (!status.available && !unused) energy_reason_[static_cast<std::size_t>(status.source)] = status.reason;
  apportioner_.add(status);
}

void RunLedger::rank_done(int rank) { apportioner_.rank_done(rank); }

void RunLedger::tick(std::int64_t now) { apportioner_.tick(now); }

void RunLedger::failed(int block, std::int64_t step, int rank, std::string_view reason) {
  writer_.failed(block, step, rank, reason);
}

void RunLedger::take(const StepRecord& record, const StepEnergy& energy) {
  Block& block = blocks_[static_cast<std::size_t>(record.block)];
  if (record.step < block.next) refuse(record, "its row is written already");
  const auto [entry, fresh] = block.waiting.try_emplace(record.step);
  Assembly& assembly = entry->second;
  StepRow& row = assembly.row;
  if (fresh) {
    assembly.replicas = record.replicas;
    row.block = record.block;
    row.step = record.step;
    row.level_lo = record.level_lo;
    row.level_hi = record.level_hi;
    row.masks = masks_;
    row.learning_rate = record.learning_rate;
    row.gradient_norm = record.gradient_norm;
    row.ranks.assign(static_cast<std::size_t>(record.replicas), -1);
  }
  if (record.replicas != assembly.replicas) refuse(record, "its replicas disagree on their number");
  int& slot = row.ranks.at(static_cast<std::size_t>(record.replica));
  if (slot != -1) refuse(record, "this replica has reported it already");
  slot = record.rank;
  ++assembly.reported;
  row.time = std::max(row.time, static_cast<double>(record.unix_end / 1000) * 1e-6);
  row.tokens += record.tokens;
  row.samples += record.samples;
  if (record.replicas == 1) {
    row.loss = record.loss;  // as it came, not by way of a product and a division
    row.unweighted = record.unweighted;
  } else if (record.samples > 0) {
    assembly.loss += record.loss * static_cast<double>(record.samples);
    assembly.unweighted += record.unweighted * static_cast<double>(record.samples);
  }
  row.seconds = std::max(row.seconds, record.seconds);
  for (std::size_t i = 0; i < energy_sources; ++i) {
    if (energy.reason[i] == nullptr) {
      row.joules[i] += energy.joules[i];
    } else {
      row.joules[i] = nan;  // part of a sum would be a lie
      row.joules_reason[i] = *energy.reason[i];
    }
  }
  for (std::size_t i = 0; i < row.bytes_sent.size(); ++i) row.bytes_sent[i] += record.bytes_sent[i];
  row.memory_planned = std::max(row.memory_planned, record.memory_planned);
  row.memory_measured = std::max(row.memory_measured, record.memory_measured);
  row.memory_runtime = std::max(row.memory_runtime, record.memory_runtime);
  if (record.memory_device_runtime > row.memory_device_runtime) {
    row.memory_device_runtime = record.memory_device_runtime;
    row.memory_scope = record.memory_scope;
  }
  write_ready(block);
}

void RunLedger::write_ready(Block& block) {
  while (!block.waiting.empty()) {
    const auto first = block.waiting.begin();
    Assembly& assembly = first->second;
    if (first->first != block.next || assembly.reported != assembly.replicas) return;
    StepRow& row = assembly.row;
    if (assembly.replicas > 1) {
      const double samples = static_cast<double>(row.samples);
      row.loss = row.samples > 0 ? assembly.loss / samples : nan;
      row.unweighted = row.samples > 0 ? assembly.unweighted / samples : nan;
    }
    write(block, row);
    block.waiting.erase(first);
  }
}

void RunLedger::write(Block& block, StepRow& row) {
  for (std::size_t i = 0; i < energy_sources; ++i) {
    if (!std::isfinite(row.joules[i])) continue;
    const double share = row.joules[i] + block.rounded_off[i];
    row.joules[i] = as_in_step_row(std::max(0.0, share));
    block.rounded_off[i] = share - row.joules[i];
    attributed_[i] += row.joules[i];
  }
  Runtime& most = block.runtime;
  if (most.ranks != row.ranks) most = Runtime{row.ranks, -1, -1, DeviceMemoryScope::unknown};
  most.host = std::max(most.host, row.memory_runtime);
  if (row.memory_device_runtime > most.device) {
    most.device = row.memory_device_runtime;
    most.scope = row.memory_scope;
  }
  row.memory_runtime = most.host;
  row.memory_device_runtime = most.device;
  row.memory_scope = most.scope;
  writer_.step(row);
  tokens_ += row.tokens;
  for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] += row.bytes_sent[i];
  ++block.next;
}

std::int64_t RunLedger::written_through(int block) const {
  return blocks_.at(static_cast<std::size_t>(block)).next - 1;
}

std::int64_t RunLedger::durable_through(int block) const {
  return blocks_.at(static_cast<std::size_t>(block)).durable_next - 1;
}

void RunLedger::sync() {
  writer_.sync();
  for (Block& block : blocks_) block.durable_next = block.next;
}

EnergySums RunLedger::energy() const {
  EnergySums sums;
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const SourceTotals& totals = apportioner_.totals()[i];
    sums.measured_at_all[i] = totals.measured_at_all;
    sums.measured[i] = totals.measured;
    sums.attributed[i] = attributed_[i];
    sums.evaluation[i] = totals.of(BusyPurpose::evaluation);
    sums.checkpoint[i] = totals.of(BusyPurpose::checkpoint);
    sums.idle[i] = std::max(0.0, totals.idle);  // a rounding below nothing
    sums.unattributed[i] =
        std::max(0.0, totals.measured - sums.attributed[i] - sums.evaluation[i] - sums.checkpoint[i] - totals.idle);
  }
  return sums;
}

void RunLedger::finish(const SessionEnd& end) {
  apportioner_.finish();
  RunEnd row;
  row.status = end.status;
  row.message = end.message;
  row.seconds = end.seconds;
  for (const Block& block : blocks_) {
    row.steps.push_back(block.next - block.first);
    row.incomplete_steps += static_cast<std::int64_t>(block.waiting.size());
  }
  row.tokens = tokens_;
  row.distinct_tokens = end.distinct_tokens;
  row.energy = energy();
  row.energy_reason = energy_reason_;
  const auto gpu = static_cast<std::size_t>(EnergySource::gpu);
  if (row.energy_reason[gpu].empty() && !row.energy.measured_at_all[gpu]) row.energy_reason[gpu] = gpu_unused_;
  row.price_usd_per_kwh = price_;
  row.bytes_sent = bytes_;
  row.communicator_bytes = end.communicator_bytes;
  writer_.run_end(row);
  sync();
}

}  // namespace blocktrain::trainer
