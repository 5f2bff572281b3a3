#pragma once
/// What the ranks of a training tell the coordinator, and what it tells them. All of it is control traffic of the
/// world's communicator; nothing here waits for anybody.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/names.hpp"

namespace blocktrain::trainer {

inline constexpr int tag_report = 1;   ///< rank -> coordinator
inline constexpr int tag_control = 2;  ///< coordinator -> rank

enum class ReportKind : std::uint8_t {
  alive,       ///< heartbeat; code 1: this rank was asked to stop by a signal
  packet,      ///< ledger records, packed in `bytes` (trainer/ledger/records.hpp)
  checkpoint,  ///< block, step: a block file was committed; text its name, digest its SHA-256, size its bytes
  evaluation,  ///< block, step: held-out loss while training; values in `bytes`
  block_end,   ///< block, step: this block takes no more steps here; code: BlockEnd; text: why, if it failed
  idle,        ///< the rank has no block left to train, and waits for one to receive, or for `no_block`
  /// block, step: leaves this rank for the one that the request names; code: number of the request; size: newest saved
  /// step
  migration_granted,
  migration_declined,  ///< the request numbered `code` is not granted
  rank_end,            ///< all blocks of the rank have ended; code: exit code of the rank; text: what went wrong
  closed,              ///< the rank has nothing more to report
};

enum class BlockEnd : std::int32_t {
  done,
  stopped,  ///< and saved
  failed,
  ended_with_another,  ///< one that it is coupled with failed; it was not saved
};
/// As the progress lines show them.
constexpr auto name_table(BlockEnd) {
  return names_up_to<BlockEnd::ended_with_another>("done", "saved", "FAILED", "ended");
}

/// One message of a rank to the coordinator; fields mean what ReportKind says.
struct Report {
  ReportKind kind = ReportKind::alive;
  std::int32_t code = 0;
  std::int32_t block = -1;
  std::int64_t step = 0;
  std::int64_t size = 0;
  double seconds = 0;  ///< how long what is reported took: checkpoint, evaluation
  std::string text;
  std::string digest;
  std::vector<std::byte> bytes;
};

std::vector<std::byte> encode(const Report& report);
/// Throws RunError when the bytes are no report.
Report decode_report(std::span<const std::byte> bytes);

enum class ControlKind : std::uint8_t {
  alive,              ///< heartbeat of the coordinator
  stop,               ///< save and end
  close,              ///< all ranks have ended: report what is left (the last energy sample)
  finished,           ///< the ledger is complete; end with `code`
  migration_request,  ///< to a rank with several blocks left: send `block` to `rank`; `code`: number of the request
  receive_block,      ///< to an idle rank: `block`, at `step`, comes from `rank`; `saved`: its newest saved step
  no_block,           ///< to an idle rank: none will come any more
  abort,              ///< a rank was given up and the job is being ended with `code`: end with it, wait for nobody
};

struct Control {
  ControlKind kind = ControlKind::alive;
  std::int32_t code = 0;
  std::int32_t block = -1;
  std::int32_t rank = -1;
  std::int64_t step = 0;
  std::int64_t saved = -1;
};

std::vector<std::byte> encode(const Control& control);
Control decode_control(std::span<const std::byte> bytes);

}  // namespace blocktrain::trainer
