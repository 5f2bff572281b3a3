#include "comm/staged/staged_communicator.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "comm/collective_turn.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

constexpr std::size_t smallest_chunk = 64;  // and what chunks are a multiple of

}  // namespace

std::size_t staging_buffer_bytes(std::size_t largest_payload_bytes, int ranks) {
  if (ranks <= 1) return 0;
  const std::size_t chunk = std::min(largest_payload_bytes, staging_chunk_bytes);
  return staged::head_bytes + std::max((chunk + smallest_chunk - 1) / smallest_chunk, std::size_t{1}) * smallest_chunk;
}

StagedDeviceCommunicator::StagedDeviceCommunicator(Communicator& group, std::shared_ptr<const DeviceApi> device,
                                                   std::span<std::byte> buffer, std::chrono::milliseconds deadline)
    : host_(group.split(0)),
      deadline_(deadline),
      staging_(std::move(device), buffer),
      early_(static_cast<std::size_t>(host_->size())) {
  host_->set_deadline(deadline);
  if (size() == 1) return;
  // Chunks have to be the same on all ranks.
  const std::uint64_t mine = buffer.size();
  std::uint64_t smallest = mine;
  for (const auto& other : host_->all_gather(std::as_bytes(std::span(&mine, 1)), TrafficPurpose::control)) {
    std::uint64_t theirs = 0;
    BLOCKTRAIN_EXPECTS(other.size() == sizeof theirs);
    std::memcpy(&theirs, other.data(), sizeof theirs);
    smallest = std::min(smallest, theirs);
  }
  BLOCKTRAIN_EXPECTS(smallest >= staged::head_bytes + smallest_chunk);
  chunk_bytes_ = (smallest - staged::head_bytes) / smallest_chunk * smallest_chunk;
}

void StagedDeviceCommunicator::expect_healthy(const char* call) const {
  if (failure_.empty()) return;
  throw RunError(member_text(rank(), size()) + ": " + call + " is not possible any more: " + failure_);
}

template <class Body>
void StagedDeviceCommunicator::run(const char* call, const Body& body) {
  try {
    body();
  } catch (const RunError& error) {
    const std::string text = error.what();
    const bool says_who = text.rfind("rank ", 0) == 0 && text.find(" failed") != std::string::npos;
    failure_ = says_who ? text : member_text(rank(), size()) + ": " + call + " failed: " + text;
    throw RunError(failure_);
  } catch (const std::exception& error) {
    failure_ = error.what();  // the ranks are out of step all the same
    throw;
  }
}

void StagedDeviceCommunicator::all_reduce_sum(std::span<float> data, TrafficPurpose purpose, void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("all_reduce_sum");
  traffic_.add(purpose, all_reduce_bytes_sent(data.size(), size(), rank()));
  if (size() == 1) return;
  run("all_reduce_sum", [&] {
    const std::size_t most = chunk_bytes_ / sizeof(float);
    for (std::size_t begin = 0; begin < data.size(); begin += most) {
      const std::span<float> part = data.subspan(begin, std::min(most, data.size() - begin));
      staging_.to_host(part.data(), part.size_bytes(), stream, deadline_);
      host_->all_reduce({reinterpret_cast<float*>(staging_.payload()), part.size()}, purpose);
      staging_.to_device(part.data(), part.size_bytes(), stream, deadline_);
    }
  });
}

void StagedDeviceCommunicator::broadcast(void* data, std::size_t bytes, int root, TrafficPurpose purpose,
                                         void* stream) {
  BLOCKTRAIN_EXPECTS(root >= 0 && root < size());
  const CollectiveTurn turn(in_collective_);
  expect_healthy("broadcast");
  traffic_.add(purpose, root == rank() ? bytes * static_cast<std::uint64_t>(size() - 1) : 0);
  if (size() == 1) return;
  run("broadcast", [&] {
    for (std::size_t begin = 0; begin < bytes; begin += chunk_bytes_) {
      const std::size_t count = std::min(chunk_bytes_, bytes - begin);
      std::byte* const part = static_cast<std::byte*>(data) + begin;
      if (root == rank()) staging_.to_host(part, count, stream, deadline_);
      host_->broadcast({staging_.payload(), count}, root, purpose);
      if (root != rank()) staging_.to_device(part, count, stream, deadline_);
    }
  });
}

void StagedDeviceCommunicator::exchange(std::span<const Transfer> transfers, TrafficPurpose purpose, void* stream) {
  const CollectiveTurn turn(in_collective_);
  expect_healthy("exchange");
  std::uint64_t sent = 0;
  for (const Transfer& transfer : transfers) {
    BLOCKTRAIN_EXPECTS(transfer.peer >= 0 && transfer.peer < size());
    if (transfer.direction == Transfer::Direction::send) sent += transfer.bytes;
  }
  traffic_.add(purpose, sent);
  run("exchange",
      [&] { staged::exchange(*host_, staging_, chunk_bytes_, early_, transfers, purpose, stream, deadline_); });
}

// Operations return when they have ended.
bool StagedDeviceCommunicator::poll(void*) {
  expect_healthy("poll");
  return true;
}

void StagedDeviceCommunicator::wait(void*) { expect_healthy("wait"); }

void StagedDeviceCommunicator::set_deadline(std::chrono::milliseconds deadline) {
  deadline_ = deadline;
  host_->set_deadline(deadline);
}

void StagedDeviceCommunicator::finish() {
  if (failure_.empty()) run("finish", [&] { host_->barrier(TrafficPurpose::control); });
  abort();
}

bool StagedDeviceCommunicator::abort() noexcept {
  try {
    if (failure_.empty()) failure_ = "the communicator was ended";
  } catch (...) {
    // No memory for the words: later operations end by the deadline instead.
  }
  return true;
}

std::size_t StagedDeviceCommunicator::host_bytes(std::size_t largest_payload_bytes) const {
  if (size() == 1) return 0;
  const std::size_t chunk = std::min(largest_payload_bytes, chunk_bytes_);
  const std::size_t of_sums = host_->all_reduce_buffer_bytes((chunk + sizeof(float) - 1) / sizeof(float));
  const std::size_t of_broadcast = chunk;
  const std::size_t of_exchange = 2 * static_cast<std::size_t>(staged::chunks_in_flight) * (chunk + staged::head_bytes);
  return of_sums + of_broadcast + of_exchange;
}

}  // namespace blocktrain::comm
