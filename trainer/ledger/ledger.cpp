#include "trainer/ledger/ledger.hpp"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

void add_bytes(JsonRow& row, std::string_view name, std::int64_t bytes) {
  if (bytes < 0) {
    row.null(name);
  } else {
    row.integer(name, bytes);
  }
}

void add_if_known(JsonRow& row, std::string_view name, double value) {
  if (value < 0) {
    row.null(name);
  } else {
    row.number(name, value);
  }
}

/// So that a step row stays below 300 bytes, whatever its values.
constexpr int step_row_digits = 7;

/// What stands in a change row.
auto change_of(const StepRow& step) {
  static_assert(control_traffic == 2 && traffic_names.size() == 3);
  return std::tie(step.tokens, step.samples, step.level_lo, step.level_hi, step.masks, step.joules_reason,
                  step.bytes_sent[0], step.bytes_sent[1], step.memory_planned, step.memory_measured,
                  step.memory_runtime, step.memory_device_runtime, step.memory_scope, step.ranks);
}

/// The measured joules of all sources in dollars; says so when that is not everything.
void add_dollars(JsonRow& row, const RunEnd& end) {
  double joules = 0;
  std::string missing;
  bool any = false;
  for (std::size_t i = 0; i < energy_sources; ++i) {
    if (end.energy.measured_at_all[i]) {
      joules += end.energy.measured[i];
      any = true;
      if (end.energy_reason[i].empty()) continue;
    }
    if (!missing.empty()) missing += "; ";
    if (end.energy.measured_at_all[i]) missing += "all of ";
    missing += to_string(static_cast<EnergySource>(i));
    missing += ": " + (end.energy_reason[i].empty() ? std::string("not measured") : end.energy_reason[i]);
  }
  if (any) {
    row.number("dollars", dollars(joules, end.price_usd_per_kwh));
  } else {
    row.null("dollars");
  }
  if (missing.empty()) {
    row.null("dollars_reason");
  } else {
    row.text("dollars_reason", (any ? "does not include " : "no energy was measured: ") + missing);
  }
}

}  // namespace

std::string ledger_path(const std::string& directory) { return directory + "/" + std::string(ledger_file_name); }

double as_in_step_row(double value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const char* const end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::general, step_row_digits).ptr;
  double read = 0;
  std::from_chars(text, end, read);
  return read;
}

void add_by_purpose(JsonRow& row, std::string_view name, const ByPurpose& values) {
  row.open_object(name);
  for (std::size_t i = 0; i < values.size(); ++i) row.integer(traffic_names[i], values[i]);
  row.close_object();
}

void add_by_source(JsonRow& row, std::string_view name, const BySource& values) {
  row.open_object(name);
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const std::string_view source = to_string(static_cast<EnergySource>(i));
    if (std::isfinite(values[i])) {
      row.number(source, values[i]);
    } else {
      row.null(source);
    }
  }
  row.close_object();
}

LedgerWriter::LedgerWriter(const std::string& directory) : file_(ledger_path(directory), O_RDWR | O_CREAT | O_APPEND) {
  file_.lock("the ledger");
  const std::uint64_t size = file_.size();
  char last = '\n';
  if (size > 0) file_.read_at(&last, 1, size - 1);
  if (last != '\n') throw RunError(file_.path() + ": the last row is torn; the ledger has to be recovered first");
  sync_folder(directory);
}

void LedgerWriter::begin(std::string_view type) {
  row_.begin(type);
  row_.number("time", static_cast<double>(unix_ns() / 1'000'000) * 1e-3);
}

void LedgerWriter::write() { file_.append(row_.finish()); }

void LedgerWriter::sync() { file_.sync(); }

void LedgerWriter::run_start(const RunStart& start) {
  changes_.clear();
  begin("run_start");
  row_.text("format", ledger_format);
  row_.text("version", start.version);
  row_.integer("blocks", std::int64_t{start.blocks});
  row_.integer("ranks", std::int64_t{start.ranks});
  row_.text("transport", start.transport);
  row_.text("training", start.training);
  row_.open_array("hosts");
  for (const HostFacts& host : start.hosts) {
    row_.open_element();
    row_.text("hostname", host.hostname);
    row_.text("cpu", host.cpu);
    row_.integer("cores", std::int64_t{host.cores});
    row_.integer("ranks", std::int64_t{host.ranks});
    row_.integer("threads", std::int64_t{host.threads});
    row_.integer("memory_bytes", host.memory_bytes);
    row_.close_object();
  }
  row_.close_array();
  const auto config = nlohmann::json::parse(start.config, nullptr, false);
  if (config.is_object()) {
    row_.raw("config", config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    row_.text("config_text", start.config);
  }
  if (!start.extra.empty()) {
    nlohmann::json extra = nlohmann::json::object();
    for (const auto& [name, value] : start.extra) extra[name] = value;
    row_.raw("facts", extra.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  write();
}

void LedgerWriter::sensor(const SourceStatus& status) {
  begin("sensor");
  row_.integer("host", std::int64_t{status.host});
  row_.integer("device", std::int64_t{status.device});
  row_.text("source", to_string(status.source));
  row_.boolean("available", status.available);
  row_.text("sensor", status.sensor);
  if (status.available) {
    row_.null("reason");
  } else {
    row_.text("reason", status.reason);
  }
  add_if_known(row_, "update_seconds", status.update_seconds);
  if (status.update_reason.empty()) {
    row_.null("update_reason");
  } else {
    row_.text("update_reason", status.update_reason);
  }
  write();
}

void LedgerWriter::step(const StepRow& given) {
  StepRow step = given;
  for (std::size_t i = 0; i < energy_sources; ++i) {  // null has a reason, a number has none
    std::string& reason = step.joules_reason[i];
    if (std::isfinite(step.joules[i])) {
      reason.clear();
    } else if (reason.empty()) {
      reason = "not known";
    }
  }
  const auto last = changes_.find(step.block);
  if (last == changes_.end() || change_of(last->second) != change_of(step)) {
    change(step);
    changes_.insert_or_assign(step.block, step);
  }
  row_.begin("step");
  row_.integer("block", std::int64_t{step.block});
  row_.integer("step", step.step);
  row_.fixed("time", step.time, 6);
  row_.rounded("loss", step.loss, step_row_digits);
  row_.rounded("unweighted", step.unweighted, step_row_digits);
  row_.rounded("learning_rate", step.learning_rate, step_row_digits);
  row_.rounded("gradient_norm", step.gradient_norm, step_row_digits);
  row_.rounded("seconds", step.seconds, step_row_digits);
  row_.open_object("joules");
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const std::string_view source = to_string(static_cast<EnergySource>(i));
    if (std::isfinite(step.joules[i])) {
      row_.rounded(source, step.joules[i], step_row_digits);
    } else {
      row_.null(source);
    }
  }
  row_.close_object();
  row_.open_object("bytes_sent");
  row_.integer(traffic_names[control_traffic], step.bytes_sent[control_traffic]);
  row_.close_object();
  write();
}

void LedgerWriter::change(const StepRow& step) {
  begin("change");
  row_.integer("block", std::int64_t{step.block});
  row_.integer("step", step.step);
  row_.integer("tokens", step.tokens);
  row_.integer("samples", step.samples);
  const auto pair = [&](std::string_view name) {
    row_.open_array(name);
    row_.element(name, step.level_lo);
    row_.element(name, step.level_hi);
    row_.close_array();
  };
  if (step.masks || (step.level_lo == 0 && step.level_hi == 0)) {
    row_.null("sigma");
    if (step.masks) pair("masked");
  } else {
    pair("sigma");
  }
  bool shares = false;
  for (const std::string& reason : step.joules_reason) shares = shares || reason.empty();
  row_.boolean("joules_estimated", shares);
  row_.open_object("joules_reason");
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const std::string_view source = to_string(static_cast<EnergySource>(i));
    if (step.joules_reason[i].empty()) {
      row_.null(source);
    } else {
      row_.text(source, step.joules_reason[i]);
    }
  }
  row_.close_object();
  row_.open_object("bytes_sent");
  for (std::size_t i = 0; i < control_traffic; ++i) row_.integer(traffic_names[i], step.bytes_sent[i]);
  row_.close_object();
  row_.open_object("memory");
  add_bytes(row_, "planned", step.memory_planned);
  add_bytes(row_, "measured", step.memory_measured);
  add_bytes(row_, "runtime", step.memory_runtime);
  add_bytes(row_, "device_runtime", step.memory_device_runtime);
  if (step.memory_device_runtime < 0) {
    row_.null("device_runtime_scope");
  } else {
    row_.text("device_runtime_scope", to_string(step.memory_scope));
  }
  row_.close_object();
  row_.open_array("ranks");
  for (const int rank : step.ranks) row_.element(std::int64_t{rank});
  row_.close_array();
  write();
}

void LedgerWriter::energy(const EnergyRecord& record) {
  begin("energy");
  row_.integer("host", std::int64_t{record.host});
  row_.integer("device", std::int64_t{record.device});
  row_.text("source", to_string(record.source));
  row_.number("joules", record.joules);
  row_.number("seconds", static_cast<double>(record.end - record.begin) * 1e-9);
  row_.integer("begin_ns", record.begin);
  row_.integer("end_ns", record.end);
  add_if_known(row_, "update_seconds", record.update_seconds);
  add_if_known(row_, "error_joules", record.error_joules);
  write();
}

void LedgerWriter::eval(const EvalRow& eval) {
  begin("eval");
  if (eval.block) {
    row_.integer("block", std::int64_t{*eval.block});
  } else {
    row_.null("block");
  }
  row_.integer("step", eval.step);
  row_.integer("samples", eval.samples);
  row_.number("seconds", eval.seconds);
  row_.open_object("metrics");
  for (const auto& [name, value] : eval.metrics) row_.number(name, value);
  row_.close_object();
  write();
}

void LedgerWriter::failed(int block, std::int64_t step, int rank, std::string_view reason) {
  begin("failed");
  row_.integer("block", std::int64_t{block});
  row_.integer("step", step);
  row_.integer("rank", std::int64_t{rank});
  row_.text("reason", reason);
  write();
}

void LedgerWriter::checkpoint(const CheckpointRow& checkpoint) {
  begin("checkpoint");
  row_.integer("block", std::int64_t{checkpoint.block});
  row_.integer("step", checkpoint.step);
  row_.text("file", checkpoint.file);
  row_.text("sha256", checkpoint.sha256);
  row_.integer("bytes", checkpoint.bytes);
  row_.number("seconds", checkpoint.seconds);
  write();
}

void LedgerWriter::resume(const std::vector<std::int64_t>& steps, std::string_view note) {
  begin("resume");
  row_.open_array("steps");
  for (const std::int64_t step : steps) row_.element(step);
  row_.close_array();
  row_.text("note", note);
  write();
}

void LedgerWriter::run_end(const RunEnd& end) {
  begin("run_end");
  row_.text("status", end.status);
  row_.text("message", end.message);
  row_.number("seconds", end.seconds);
  row_.open_array("steps");
  for (const std::int64_t step : end.steps) row_.element(step);
  row_.close_array();
  row_.integer("tokens", end.tokens);
  row_.integer("distinct_tokens", end.distinct_tokens);
  row_.open_object("joules");
  const auto known = [&](BySource values) {
    for (std::size_t i = 0; i < energy_sources; ++i) {
      if (!end.energy.measured_at_all[i]) values[i] = std::numeric_limits<double>::quiet_NaN();
    }
    return values;
  };
  add_by_source(row_, "measured", known(end.energy.measured));
  add_by_source(row_, "attributed", known(end.energy.attributed));
  add_by_source(row_, "evaluation", known(end.energy.evaluation));
  add_by_source(row_, "checkpoint", known(end.energy.checkpoint));
  add_by_source(row_, "idle", known(end.energy.idle));
  add_by_source(row_, "unattributed", known(end.energy.unattributed));
  row_.close_object();
  add_dollars(row_, end);
  add_by_purpose(row_, "bytes_sent", end.bytes_sent);
  if (end.communicator_bytes) {
    add_by_purpose(row_, "communicator_bytes", *end.communicator_bytes);
  } else {
    row_.null("communicator_bytes");
  }
  row_.integer("incomplete_steps", end.incomplete_steps);
  write();
}

}  // namespace blocktrain::trainer
