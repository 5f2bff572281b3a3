#include "trainer/ledger/recovery.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

namespace {

struct Range {
  std::uint64_t begin, end;
};

/// What pass one finds out.
struct Findings {
  RecoveryReport report;
  std::vector<Range> dropped;  ///< bytes of rows that leave the ledger, in the order of the file, neighbours merged
  std::vector<Range> lost;     ///< what ledger.lost.jsonl gets: the rows that cost something, and their change rows
  std::uint64_t sound_bytes = 0;
  std::uint64_t lost_file_bytes = 0;  ///< committed size of ledger.lost.jsonl
};

/// A change row of a step that is repeated leaves the ledger too. Behind it the ledger would have a change row with a
/// later step than that of the session to come, and whoever joins rows by their steps would take the wrong one.
bool is_repeated(const LedgerRow& row, std::int64_t resume_step) {
  if (row.type == "step" || row.type == "change") return row.at_step >= resume_step;
  // An evaluation at step s sees the weights of checkpoint s, and the run goes on behind it.
  return row.type == "eval" && row.block >= 0 && row.at_step > resume_step;
}

void append(std::vector<Range>& ranges, const Range& range) {
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else {
    ranges.push_back(range);
  }
}

LostBlock& lost_block(std::vector<LostBlock>& blocks, const LedgerRow& row) {
  for (LostBlock& block : blocks) {
    if (block.block == row.block) return block;
  }
  return blocks.emplace_back(LostBlock{row.block, row.at_step, row.at_step, {}});
}

Findings examine(const std::string& path, const std::vector<std::int64_t>& resume_steps) {
  Findings findings;
  RecoveryReport& report = findings.report;
  report.existed = true;
  std::vector<std::int64_t> next(resume_steps.size(), 0);
  // By block: its last change row, until it is among the lost rows. A session has its own before its first step rows.
  std::vector<std::optional<Range>> change(resume_steps.size());
  LedgerReader reader(path);
  LedgerRow row;
  while (reader.next(row)) {
    if (row.type == "lost") findings.lost_file_bytes = row.lost_file_bytes;
    if (row.block < 0) continue;
    const auto b = static_cast<std::size_t>(row.block);
    if (b >= resume_steps.size()) {
      throw InputError(path + ":" + std::to_string(row.line) + ": a row of block " + std::to_string(row.block) +
                       ", but this run has " + std::to_string(resume_steps.size()) +
                       " blocks: the ledger belongs to another run");
    }
    const Range range{row.offset, row.offset + row.text.size() + 1};
    if (row.type == "change") change[b] = range;
    if (is_repeated(row, resume_steps[b])) {
      append(findings.dropped, range);
      if (row.type == "change") continue;  // goes with the first step that it holds for
      if (row.type == "step" && change[b]) append(findings.lost, *std::exchange(change[b], std::nullopt));
      append(findings.lost, range);
      if (row.type != "step") continue;
      LostBlock& lost = lost_block(report.lost, row);
      lost.from = std::min(lost.from, row.at_step);
      lost.to = std::max(lost.to, row.at_step);
      lost.cost.add(row.step);
    } else if (row.type == "step") {
      if (row.at_step > next[b]) report.missing.push_back({row.block, next[b], row.at_step});
      if (row.at_step < next[b]) ++report.repeated_rows;
      next[b] = std::max(next[b], row.at_step + 1);
    }
  }
  for (std::size_t b = 0; b < next.size(); ++b) {
    if (next[b] < resume_steps[b]) report.missing.push_back({static_cast<int>(b), next[b], resume_steps[b]});
  }
  std::sort(report.lost.begin(), report.lost.end(), [](const auto& x, const auto& y) { return x.block < y.block; });
  findings.sound_bytes = reader.sound_bytes();
  report.torn_bytes = reader.torn_bytes();
  return findings;
}

void copy(const File& from, Range range, File& to) {
  std::string buffer;
  while (range.begin < range.end) {
    buffer.resize(static_cast<std::size_t>(std::min<std::uint64_t>(range.end - range.begin, 1 << 20)));
    const std::size_t got = from.read_at(buffer.data(), buffer.size(), range.begin);
    if (got == 0) throw RunError(from.path() + ": the file became shorter while it was recovered");
    buffer.resize(got);
    to.append(buffer);
    range.begin += got;
  }
}

std::string lost_row(const std::vector<LostBlock>& blocks, std::uint64_t lost_file_bytes) {
  JsonRow row;
  row.begin("lost");
  row.number("time", static_cast<double>(unix_ns() / 1'000'000) * 1e-3);
  row.open_array("blocks");
  for (const LostBlock& lost : blocks) {
    row.open_element();
    add_lost_fields(row, lost.block, lost.from, lost.to, lost.cost);
    row.close_object();
  }
  row.close_array();
  row.text("lost_file", lost_file_name);
  row.integer("lost_file_bytes", lost_file_bytes);
  return row.finish();
}

}  // namespace

std::string describe(const RecoveryReport& report) {
  std::string text;
  const auto say = [&text](const std::string& sentence) {
    if (!text.empty()) text += ' ';
    text += sentence + '.';
  };
  if (report.torn_bytes > 0)
    say("A torn end of " + std::to_string(report.torn_bytes) + " bytes was cut off the ledger");
  for (const LostBlock& lost : report.lost) {
    say("Block " + std::to_string(lost.block) + " repeats steps " + std::to_string(lost.from) + " to " +
        std::to_string(lost.to) + "; their " + std::to_string(lost.cost.steps) + " rows are in " +
        std::string(lost_file_name));
  }
  for (const MissingRows& missing : report.missing) {
    say("The ledger has no rows for steps " + std::to_string(missing.from) + " to " + std::to_string(missing.to - 1) +
        " of block " + std::to_string(missing.block) + ", so its sums are too low");
  }
  if (report.repeated_rows > 0) {
    say("The ledger has " + std::to_string(report.repeated_rows) +
        " rows of steps that it has already, so its sums are too high");
  }
  if (report.lost_file_shrunk)
    say(std::string(lost_file_name) + " was shortened by somebody; the sums of its rows are in the ledger");
  return text;
}

RecoveryReport recover_ledger(const std::string& directory, const std::vector<std::int64_t>& resume_steps,
                              const RecoveryHook& hook) {
  const auto done = [&hook](const char* step) {
    if (hook) hook(step);
  };
  const std::string path = ledger_path(directory);
  const std::string aside_path = path + ".recovering";
  const std::string lost_path = directory + "/" + std::string(lost_file_name);
  if (!std::filesystem::exists(path)) return {};
  File ledger(path, O_RDWR);
  ledger.lock("the ledger");
  ::unlink(aside_path.c_str());  // of a recovery that was stopped; usually there is none

  Findings findings = examine(path, resume_steps);
  RecoveryReport& report = findings.report;
  const bool has_lost_file = std::filesystem::exists(lost_path);
  std::uint64_t lost_file_bytes = findings.lost_file_bytes;
  if (findings.lost.empty() && !has_lost_file) {
    report.lost_file_shrunk = findings.lost_file_bytes > 0;
  } else {
    File lost(lost_path, O_RDWR | O_CREAT | O_APPEND);
    const std::uint64_t size = lost.size();
    report.lost_file_shrunk = size < findings.lost_file_bytes;
    if (size > findings.lost_file_bytes) {
      lost.truncate(findings.lost_file_bytes);
      lost.sync();
      done("what was not committed is cut off the lost rows");
    }
    if (!findings.lost.empty()) {
      for (const Range& range : findings.lost) copy(ledger, range, lost);
      done("lost rows are appended");
      lost.sync();
      sync_folder(directory);
      done("lost rows are on the disk");
    }
    lost_file_bytes = lost.size();
  }
  if (!findings.dropped.empty()) {
    File aside(aside_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
    std::uint64_t kept = 0;
    for (const Range& range : findings.dropped) {
      copy(ledger, {kept, range.begin}, aside);
      kept = range.end;
    }
    copy(ledger, {kept, findings.sound_bytes}, aside);
    done("the new ledger has its old rows");
    if (!findings.lost.empty()) aside.append(lost_row(report.lost, lost_file_bytes));
    done("the new ledger is written");
    aside.sync();
    done("the new ledger is on the disk");
    rename_file(aside_path, path);
    done("the new ledger is in place");
    sync_folder(directory);
    done("the name of the new ledger is on the disk");
    return report;
  }
  if (report.torn_bytes > 0) {
    ledger.truncate(findings.sound_bytes);
    done("the torn end is cut");
    ledger.sync();
    done("the cut is on the disk");
  }
  return report;
}

}  // namespace blocktrain::trainer
