#include "trainer/ledger/reader.hpp"

#include <fcntl.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

using nlohmann::json;

namespace {

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t longest_row = std::size_t{256} << 20;
constexpr std::uint64_t largest_count = std::uint64_t{1} << 53;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// What is wrong with a row; becomes an InputError, or the torn end, one level up.
struct Damage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

const json& field(const json& row, const char* name) {
  const auto found = row.find(name);
  if (found == row.end()) throw Damage(std::string("the field \"") + name + "\" is missing");
  return *found;
}

std::uint64_t count(const json& row, const char* name, std::uint64_t largest = largest_count) {
  const json& value = field(row, name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > largest) {
    throw Damage(std::string("\"") + name + "\" is not a whole number from 0 to " + std::to_string(largest));
  }
  return value.get<std::uint64_t>();
}

int index(const json& row, const char* name) { return static_cast<int>(count(row, name, 1 << 24)); }

double number(const json& row, const char* name) {
  const json& value = field(row, name);
  if (value.is_null()) return nan;
  if (!value.is_number()) throw Damage(std::string("\"") + name + "\" is not a number");
  return value.get<double>();
}

std::string text(const json& row, const char* name) {
  const json& value = field(row, name);
  if (!value.is_string()) throw Damage(std::string("\"") + name + "\" is not a text");
  return value.get<std::string>();
}

/// Object `name`, which has to be one.
const json& object(const json& row, const char* name) {
  const json& value = field(row, name);
  if (!value.is_object()) throw Damage(std::string("\"") + name + "\" is not an object");
  return value;
}

BySource by_source(const json& row, const char* name) {
  const json& joules = object(row, name);
  BySource values{};
  for (std::size_t i = 0; i < energy_sources; ++i) {
    values[i] = number(joules, std::string(to_string(static_cast<EnergySource>(i))).c_str());
    if (values[i] < 0) throw Damage(std::string("\"") + name + "\" has joules below 0");
  }
  return values;
}

/// Fills what `row` has to say of the purposes from `begin` to `end`.
void take_purposes(const json& row, std::size_t begin, std::size_t end, ByPurpose& values) {
  const json& sent = object(row, "bytes_sent");
  for (std::size_t i = begin; i < end; ++i) values[i] = count(sent, std::string(traffic_names[i]).c_str());
}

std::int64_t bytes_or_unknown(const json& memory, const char* name) {
  const auto found = memory.find(name);
  return found == memory.end() || found->is_null() ? -1 : static_cast<std::int64_t>(count(memory, name));
}

/// Unknown also where a newer minor version has a word of its own.
DeviceMemoryScope scope_or_unknown(const json& memory) {
  const auto found = memory.find("device_runtime_scope");
  for (const DeviceMemoryScope scope : {DeviceMemoryScope::process, DeviceMemoryScope::board}) {
    if (found != memory.end() && *found == to_string(scope)) return scope;
  }
  return DeviceMemoryScope::unknown;
}

/// What differs from step to step.
void take_step(const json& row, const char* unweighted, StepRow& step) {
  step.block = index(row, "block");
  step.step = static_cast<std::int64_t>(count(row, "step"));
  step.time = number(row, "time");
  step.loss = number(row, "loss");
  step.unweighted = number(row, unweighted);
  step.learning_rate = number(row, "learning_rate");
  step.gradient_norm = number(row, "gradient_norm");
  step.seconds = number(row, "seconds");
  if (!(step.seconds >= 0)) throw Damage("\"seconds\" is not a number of at least 0");
  step.joules = by_source(row, "joules");
  take_purposes(row, control_traffic, control_traffic + 1, step.bytes_sent);
}

/// What a change row holds, and in 1.x every step row.
void take_change(const json& row, StepRow& step) {
  step.block = index(row, "block");
  step.step = static_cast<std::int64_t>(count(row, "step"));
  step.tokens = static_cast<std::int64_t>(count(row, "tokens"));
  step.samples = static_cast<std::int64_t>(count(row, "samples"));
  step.masks = row.contains("masked");
  const char* const levels = step.masks ? "masked" : "sigma";
  const json& level = field(row, levels);
  step.level_lo = step.level_hi = 0;
  if (!level.is_null()) {
    if (!level.is_array() || level.size() != 2) throw Damage(std::string("\"") + levels + "\" is not a pair");
    step.level_lo = level[0].is_number() ? level[0].get<double>() : nan;
    step.level_hi = level[1].is_number() ? level[1].get<double>() : nan;
  }
  const json& reasons = object(row, "joules_reason");
  for (std::size_t i = 0; i < energy_sources; ++i) {
    const auto reason = reasons.find(std::string(to_string(static_cast<EnergySource>(i))));
    step.joules_reason[i] = reason != reasons.end() && reason->is_string() ? reason->get<std::string>() : "";
  }
  take_purposes(row, 0, control_traffic, step.bytes_sent);
  const json& memory = object(row, "memory");
  step.memory_planned = bytes_or_unknown(memory, "planned");
  step.memory_measured = bytes_or_unknown(memory, "measured");
  step.memory_runtime = bytes_or_unknown(memory, "runtime");
  step.memory_device_runtime = bytes_or_unknown(memory, "device_runtime");
  step.memory_scope = scope_or_unknown(memory);
  step.ranks.clear();
  for (const json& rank : field(row, "ranks")) {
    if (!rank.is_number_unsigned() || rank.get<std::uint64_t>() > (1 << 24)) throw Damage("\"ranks\" holds no rank");
    step.ranks.push_back(rank.get<int>());
  }
}

/// A step row with what its change row says.
StepRow joined(const StepRow& step, const StepRow& change) {
  StepRow whole = change;
  whole.block = step.block;
  whole.step = step.step;
  whole.time = step.time;
  whole.loss = step.loss;
  whole.unweighted = step.unweighted;
  whole.learning_rate = step.learning_rate;
  whole.gradient_norm = step.gradient_norm;
  whole.seconds = step.seconds;
  whole.joules = step.joules;
  whole.bytes_sent[control_traffic] = step.bytes_sent[control_traffic];
  return whole;
}

/// A field that newer minor versions have; -1 where it is missing or null.
double number_or_unknown(const json& row, const char* name) {
  const auto found = row.find(name);
  if (found == row.end() || found->is_null()) return -1;
  if (!found->is_number() || !(found->get<double>() >= 0)) {
    throw Damage(std::string("\"") + name + "\" is not a number of at least 0");
  }
  return found->get<double>();
}

/// Part `name` of the joules of run_end; 0 for a source that it does not give.
BySource part_of_joules(const json& row, const char* name) {
  const auto joules = row.find("joules");
  if (joules == row.end() || !joules->is_object() || !joules->contains(name)) return {};
  BySource part = by_source(*joules, name);
  for (double& value : part) value = std::isfinite(value) ? value : 0;
  return part;
}

void parse_energy(const json& row, EnergyRecord& energy) {
  energy.host = index(row, "host");
  const json& device = field(row, "device");
  if (!device.is_number_integer()) throw Damage("\"device\" is not a whole number");
  energy.device = device == -1 ? -1 : index(row, "device");
  const std::string source = text(row, "source");
  std::size_t i = 0;
  while (i < energy_sources && to_string(static_cast<EnergySource>(i)) != source) ++i;
  if (i == energy_sources) throw Damage("\"source\" is \"" + source + "\", not gpu, cpu or dram");
  energy.source = static_cast<EnergySource>(i);
  energy.joules = number(row, "joules");
  if (!(energy.joules >= 0)) throw Damage("\"joules\" is not a number of at least 0");
  energy.begin = static_cast<std::int64_t>(count(row, "begin_ns", std::numeric_limits<std::int64_t>::max()));
  energy.end = static_cast<std::int64_t>(count(row, "end_ns", std::numeric_limits<std::int64_t>::max()));
  energy.update_seconds = number_or_unknown(row, "update_seconds");
  energy.error_joules = number_or_unknown(row, "error_joules");
}

void parse_lost(const json& row, std::vector<LedgerRow::Lost>& lost) {
  lost.clear();
  const json& blocks = field(row, "blocks");
  if (!blocks.is_array()) throw Damage("\"blocks\" is not an array");
  for (const json& entry : blocks) {
    if (!entry.is_object()) throw Damage("\"blocks\" holds something else than objects");
    LedgerRow::Lost& block = lost.emplace_back();
    block.block = index(entry, "block");
    block.count = static_cast<std::int64_t>(count(entry, "steps"));
    block.sums.tokens = static_cast<std::int64_t>(count(entry, "tokens"));
    block.sums.samples = static_cast<std::int64_t>(count(entry, "samples"));
    block.sums.seconds = number(entry, "seconds");
    if (!(block.sums.seconds >= 0)) throw Damage("\"seconds\" is not a number of at least 0");
    block.sums.joules = by_source(entry, "joules");
    take_purposes(entry, 0, traffic_names.size(), block.sums.bytes_sent);
    const json& unmeasured = object(entry, "joules_unmeasured_steps");
    for (std::size_t i = 0; i < energy_sources; ++i) {
      const std::string source(to_string(static_cast<EnergySource>(i)));
      block.unmeasured[i] = static_cast<std::int64_t>(count(unmeasured, source.c_str()));
    }
  }
}

/// The major version of a format; -1: it is no ledger's.
int major_of(const std::string& format) {
  constexpr std::string_view prefix = "blocktrain-ledger/";
  int major = -1;
  if (format.starts_with(prefix)) {
    std::from_chars(format.data() + prefix.size(), format.data() + format.size(), major);
  }
  return major;
}

/// Fills `out` from out.text, a row of a session with this major version; `format` from a run_start row. Throws Damage.
void parse_row(LedgerRow& out, int major, std::string& format) {
  const json row = json::parse(out.text, nullptr, false);
  if (!row.is_object()) throw Damage("the line is not a JSON object");
  out.type = text(row, "type");
  const auto time = row.find("time");
  out.time = time != row.end() && time->is_number() ? time->get<double>() : 0;
  const auto block = row.find("block");
  out.block = block != row.end() && !block->is_null() ? index(row, "block") : -1;
  const auto step = row.find("step");
  out.at_step = step != row.end() && !step->is_null() ? static_cast<std::int64_t>(count(row, "step")) : -1;
  if (out.type == "run_start") {
    format = text(row, "format");
  } else if (out.type == "step") {
    take_step(row, major >= 2 ? "unweighted" : "mse", out.step);
    if (major < 2) take_change(row, out.step);
  } else if (out.type == "change" && major >= 2) {
    take_change(row, out.step);
  } else if (out.type == "energy") {
    parse_energy(row, out.energy);
  } else if (out.type == "lost") {
    parse_lost(row, out.lost);
    out.lost_file_bytes = count(row, "lost_file_bytes");
  } else if (out.type == "run_end") {
    out.status = text(row, "status");
    out.seconds = number(row, "seconds");
    out.evaluation = part_of_joules(row, "evaluation");
    out.checkpoint = part_of_joules(row, "checkpoint");
    out.idle = part_of_joules(row, "idle");
  }
}

}  // namespace

LedgerReader::LedgerReader(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw InputError(path + ": there is no ledger here");
  file_ = File(path, O_RDONLY);
}

bool LedgerReader::next_line(std::string& line, bool& complete) {
  std::size_t searched = at_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line.assign(buffer_, at_, end - at_);
      at_ = end + 1;
      complete = true;
      return true;
    }
    if (buffer_.size() - at_ > longest_row) {
      throw InputError(file_.path() + ":" + std::to_string(line_ + 1) +
                       ": the line is longer than any row of a ledger");
    }
    buffer_.erase(0, at_);
    at_ = 0;
    searched = buffer_.size();
    buffer_.resize(searched + chunk_bytes);
    const std::size_t got = file_.read_at(buffer_.data() + searched, chunk_bytes, buffer_end_);
    buffer_.resize(searched + got);
    buffer_end_ += got;
    if (got == 0) break;
  }
  line.assign(buffer_, at_);
  at_ = buffer_.size();
  complete = false;
  return !line.empty();
}

bool LedgerReader::next(LedgerRow& row) {
  bool complete = false;
  if (ended_ || !next_line(row.text, complete)) {
    ended_ = true;
    return false;
  }
  ++line_;
  row.line = line_;
  row.offset = sound_;
  std::string format, why;
  try {
    if (!complete) throw Damage("the line has no end");
    parse_row(row, major_, format);
  } catch (const Damage& damage) {
    why = damage.what();
  }
  if (!why.empty()) {
    // A crash tears the end of a ledger; a first line that is whole and no row belongs to another file.
    if (complete && line_ == 1) throw InputError(file_.path() + ":1: this is not a ledger of blocktrain: " + why);
    torn_ = row.text.size() + (complete ? 1 : 0);
    check_nothing_sound_follows(line_, why);
    ended_ = true;
    return false;
  }
  check_format(row, format);
  join_with_change(row);
  sound_ += row.text.size() + 1;
  return true;
}

void LedgerReader::check_format(const LedgerRow& row, const std::string& format) {
  const std::string place = file_.path() + ":" + std::to_string(row.line) + ": ";
  if (row.type != "run_start") {
    if (row.line == 1)
      throw InputError(place + "this is not a ledger of blocktrain: it does not begin with a run_start row");
    return;
  }
  major_ = major_of(format);
  if (major_ < oldest_ledger_major_version || major_ > ledger_major_version) {
    throw InputError(place + "the ledger's format is \"" + format + "\"; this program reads versions 1.x and " +
                     std::string(ledger_format) + " with other minor versions of it. Use the program that wrote it");
  }
}

void LedgerReader::join_with_change(LedgerRow& row) {
  if (row.type == "run_start") {
    changes_.clear();
  } else if (row.type == "change" && major_ >= 2) {
    changes_.insert_or_assign(row.step.block, row.step);
  } else if (row.type == "step" && major_ >= 2) {
    const auto change = changes_.find(row.step.block);
    if (change == changes_.end()) {
      throw InputError(file_.path() + ":" + std::to_string(row.line) + ": a step row of block " +
                       std::to_string(row.step.block) +
                       " without a change row of that block before it in its session, so its tokens and more are not "
                       "known; restore the file");
    }
    row.step = joined(row.step, change->second);
  }
}

void LedgerReader::check_nothing_sound_follows(std::uint64_t damaged_line, const std::string& why) {
  LedgerRow later;
  int major = major_;
  bool complete = false;
  while (next_line(later.text, complete)) {
    torn_ += later.text.size() + (complete ? 1 : 0);
    std::string format;
    bool sound = complete;
    try {
      if (sound) parse_row(later, major, format);
      if (!format.empty()) major = major_of(format);
    } catch (const Damage&) {
      sound = false;
    }
    if (sound) {
      throw InputError(file_.path() + ":" + std::to_string(damaged_line) + ": damaged row: " + why +
                       ". Sound rows follow it, so this is not the torn end that a crash leaves; restore the file, or "
                       "take the line out if its cost may be missing");
    }
  }
}

}  // namespace blocktrain::trainer
