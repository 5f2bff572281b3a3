#include "comm/nccl/nccl_communicator.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

#include "comm/backoff.hpp"
#include "comm/collective_turn.hpp"
#include "comm/patience.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

/// What the first rank tells the others: NCCL's id, or why there is none, so that nobody waits for it in vain.
struct Invitation {
  NcclUniqueId id{};
  std::array<char, 384> refusal{};  ///< zero-terminated; empty when there is an id
};

}  // namespace

NcclCommunicator::NcclCommunicator(std::shared_ptr<const NcclApi> nccl, std::shared_ptr<const DeviceApi> device,
                                   Communicator& group, const NcclOptions& options)
    : nccl_(std::move(nccl)),
      device_(std::move(device)),
      options_(options),
      rank_(group.rank()),
      size_(group.size()),
      exceptions_at_start_(std::uncaught_exceptions()),
      ended_(device_) {
  BLOCKTRAIN_DEVICE(*device_, device_get(&device_index_));
  const NcclUniqueId id = share_unique_id(group);
  begin("ncclCommInitRankConfig");
  const int code = nccl_->comm_init_rank_config(handle_.get(), size_, id, rank_);
  communicator_ = std::atomic_ref<void*>(*handle_).load();  // a thread of NCCL may be writing it
  try {
    settle(code);
  } catch (const RunError& error) {
    throw RunError(std::string(error.what()) + " (parallel.gpu_transport: host does without NCCL)");
  }
}

NcclUniqueId NcclCommunicator::share_unique_id(Communicator& group) {
  begin("ncclGetUniqueId");
  Invitation invitation;
  if (rank_ == 0) {
    const int code = nccl_->get_unique_id(invitation.id);
    if (code != nccl_success) {
      std::snprintf(invitation.refusal.data(), invitation.refusal.size(), "%s", words_of(code).c_str());
    }
  }
  group.broadcast(std::as_writable_bytes(std::span(&invitation, 1)), 0, TrafficPurpose::control);
  invitation.refusal.back() = '\0';
  if (invitation.refusal.front() != '\0') fail(std::string("on its first rank: ") + invitation.refusal.data());
  return invitation.id;
}

NcclCommunicator::~NcclCommunicator() {
  if (communicator_ == nullptr) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    abort();
    return;
  }
  try {
    finish();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "blocktrain: %s\n", error.what());
  }
}

void NcclCommunicator::all_reduce_sum(std::span<float> data, TrafficPurpose purpose, void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("all_reduce_sum");
  traffic_.add(purpose, all_reduce_bytes_sent(data.size(), size_, rank_));
  if (data.empty()) return;
  begin_on("ncclAllReduce", stream);
  settle(nccl_->all_reduce(data.data(), data.data(), data.size(), communicator_, stream));
  mark_end(stream);
}

void NcclCommunicator::broadcast(void* data, std::size_t bytes, int root, TrafficPurpose purpose, void* stream) {
  BLOCKTRAIN_EXPECTS(root >= 0 && root < size_);
  const CollectiveTurn turn(in_collective_);
  expect_healthy("broadcast");
  traffic_.add(purpose, root == rank_ ? bytes * static_cast<std::uint64_t>(size_ - 1) : 0);
  if (bytes == 0) return;
  begin_on("ncclBroadcast", stream);
  settle(nccl_->broadcast(data, data, bytes, root, communicator_, stream));
  mark_end(stream);
}

void NcclCommunicator::exchange(std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("exchange");
  std::uint64_t sent = 0;
  bool anything = false;
  for (const Transfer& transfer : transfers) {
    BLOCKTRAIN_EXPECTS(transfer.peer >= 0 && transfer.peer < size_);
    if (transfer.direction == Transfer::Direction::send) sent += transfer.bytes;
    anything |= transfer.bytes > 0;
  }
  traffic_.add(purpose, sent);
  if (!anything) return;
  begin_on("ncclGroupEnd of sends and receives", stream);
  settle(issue(transfers, stream));
  mark_end(stream);
}

int NcclCommunicator::issue(std::span<const Transfer> transfers, void* stream) {
  int code = nccl_->group_start();
  if (code != nccl_success) return code;
  for (const Transfer& transfer : transfers) {
    if (transfer.bytes == 0) continue;  // both sides know
    code = transfer.direction == Transfer::Direction::send
               ? nccl_->send(transfer.data, transfer.bytes, transfer.peer, communicator_, stream)
               : nccl_->receive(transfer.data, transfer.bytes, transfer.peer, communicator_, stream);
    if (code != nccl_success && code != nccl_in_progress) break;
  }
  // Also after an error: the group belongs to the thread and would swallow its next calls.
  const int end = nccl_->group_end();
  return code != nccl_success && code != nccl_in_progress ? code : end;
}

bool NcclCommunicator::poll(void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("poll");
  return !still_pending(stream);
}

void NcclCommunicator::wait(void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("wait");
  const Backoff backoff;
  while (still_pending(stream)) backoff.pause();
}

void NcclCommunicator::finish() {
  const CollectiveTurn turn(in_collective_);
  if (communicator_ == nullptr) return;
  const Backoff backoff;
  while (still_pending(stream_)) backoff.pause();
  begin("ncclCommFinalize");
  settle(nccl_->comm_finalize(communicator_));
  const auto code = std::make_shared<std::atomic<int>>(nccl_success);
  // Other than an abort it is waited for in order: it frees memory, which may have to wait for the device.
  const bool ended = ends_within(options_.deadline, [nccl = nccl_, device = device_, index = device_index_,
                                                     handle = handle_, communicator = communicator_, code] {
    (void)device->device_set(index);
    *code = nccl->comm_destroy(communicator);
  });
  communicator_ = nullptr;
  failure_ = "the communicator was ended";
  left_behind_ = !ended;
  if (!ended) {
    failure_ = "ncclCommDestroy did not return within " + seconds_text(options_.deadline);
    throw RunError(member_text(rank_, size_) + ": " + failure_);
  }
  if (*code != nccl_success && *code != nccl_in_progress) {
    failure_ = "ncclCommDestroy failed: " + words_of(*code);
    throw RunError(member_text(rank_, size_) + ": " + failure_);
  }
}

bool NcclCommunicator::abort() noexcept {
  try {
    if (failure_.empty()) failure_ = "the communicator was aborted";
  } catch (...) {
    // No memory for the words; communicator_ is null below, and that is checked as well.
  }
  pending_ = false;
  void* const communicator = std::exchange(communicator_, nullptr);
  if (communicator == nullptr) return !left_behind_;
  // The thread owns all it touches: the table, and the handle's place, which NCCL may still write.
  const bool ended = ends_within(
      options_.abort_patience, [nccl = nccl_, device = device_, index = device_index_, handle = handle_, communicator] {
        (void)device->device_set(index);
        (void)nccl->comm_abort(communicator);
      });
  left_behind_ = !ended;
  return ended;
}

void NcclCommunicator::begin(const char* call) {
  call_ = call;
  end_ = deadline_after(options_.deadline);
}

void NcclCommunicator::expect_healthy(const char* call) const {
  if (failure_.empty() && communicator_ != nullptr) return;
  throw RunError(member_text(rank_, size_) + ": " + call + " is not possible any more: " + failure_);
}

void NcclCommunicator::settle(int code) {
  if (code != nccl_success && code != nccl_in_progress) fail(words_of(code));
  // Success can stand for "taken in" as well: only the state tells whether the communicator is free for the next call.
  const Backoff backoff;
  while (true) {
    if (communicator_ == nullptr) fail("NCCL gave no communicator");
    int state = nccl_success;
    const int asked = nccl_->comm_get_async_error(communicator_, &state);
    if (asked != nccl_success) fail("ncclCommGetAsyncError: " + words_of(asked));
    if (state == nccl_success) return;
    if (state != nccl_in_progress) fail(words_of(state));
    expect_in_time();
    backoff.pause();
  }
}

void NcclCommunicator::begin_on(const char* call, void* stream) {
  const bool one_stream_at_a_time = !pending_ || stream == stream_;
  BLOCKTRAIN_EXPECTS(one_stream_at_a_time);
  begin(call);
}

void NcclCommunicator::mark_end(void* stream) {
  try {
    ended_.record(stream);
  } catch (const RunError& error) {
    fail(error.what());
  }
  stream_ = stream;
  pending_ = true;
}

bool NcclCommunicator::still_pending(void* stream) {
  if (!pending_) return false;
  BLOCKTRAIN_EXPECTS(stream == stream_);
  try {
    pending_ = !ended_.passed();
  } catch (const RunError& error) {
    fail(error.what());
  }
  // Also when it has passed: a transfer that NCCL gave up lets the stream go on, with wrong numbers.
  int state = nccl_success;
  const int asked = nccl_->comm_get_async_error(communicator_, &state);
  if (asked != nccl_success) fail("ncclCommGetAsyncError: " + words_of(asked));
  if (state != nccl_success && state != nccl_in_progress) fail(words_of(state));
  if (pending_) expect_in_time();
  return pending_;
}

void NcclCommunicator::expect_in_time() {
  if (RunningClock::now() <= end_) return;
  std::string what =
      "it did not end within " + seconds_text(options_.deadline) + "; another rank may be dead, stuck or overloaded";
  const std::string last = nccl_->get_last_error(communicator_);
  if (!last.empty()) what += "; NCCL's last error: " + last;
  fail(what);
}

void NcclCommunicator::fail(const std::string& what) {
  failure_ = std::string(call_) + " failed: " + what;
  if (!abort()) {
    failure_ += "; ncclCommAbort did not return within " + seconds_text(options_.abort_patience) + " either";
  }
  throw RunError(member_text(rank_, size_) + ": " + failure_);
}

std::string NcclCommunicator::words_of(int code) const {
  std::string words = nccl_->get_error_string(code) + " (code " + std::to_string(code) + ")";
  const std::string last = nccl_->get_last_error(communicator_);
  if (!last.empty()) words += "; NCCL's last error: " + last;
  return words;
}

}  // namespace blocktrain::comm
