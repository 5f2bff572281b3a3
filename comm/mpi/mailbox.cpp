#include "comm/mpi/mailbox.hpp"

#include <algorithm>

#include "comm/deadline.hpp"
#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm::mpi {
namespace {
constexpr std::size_t most_flying = 16;      // messages to one destination that MPI holds at a time
constexpr int most_receives_per_visit = 64;  // so that a flood does not keep the engine from its other work
}  // namespace

Mailbox::Mailbox(MPI_Comm communicator, int rank, int size, std::size_t chunk_bytes)
    : communicator_(communicator),
      rank_(rank),
      chunk_bytes_(chunk_bytes),
      posted_(static_cast<std::size_t>(size)),
      sent_(static_cast<std::size_t>(size)),
      lanes_(static_cast<std::size_t>(size)) {}

void Mailbox::post(int destination, int tag, std::span<const std::byte> payload) {
  std::vector<std::byte> copy(payload.begin(), payload.end());
  if (destination == rank_) {
    inbox_.deliver(tag, {rank_, std::move(copy)});
    return;
  }
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  posts_.push_back({destination, tag, std::move(copy), {}});
  ++posted_[static_cast<std::size_t>(destination)];
}

void Mailbox::flush(std::chrono::milliseconds deadline) {
  std::unique_lock lock(mutex_);
  const std::vector<std::uint64_t> goal = posted_;
  const auto all_sent = [&] {
    if (failure_) return true;
    for (std::size_t i = 0; i < goal.size(); ++i) {
      if (sent_[i] < goal[i]) return false;
    }
    return true;
  };
  const bool in_time = wait_running(sent_some_, lock, deadline_after(deadline), all_sent);
  if (failure_) std::rethrow_exception(failure_);
  if (in_time) return;
  std::vector<int> missing;
  for (std::size_t i = 0; i < goal.size(); ++i) {
    if (sent_[i] < goal[i]) missing.push_back(static_cast<int>(i));
  }
  throw RunError("rank " + std::to_string(rank_) + ": flush failed: " + ranks_text(missing) + " of " +
                 std::to_string(goal.size()) + " did not take the messages posted to them within " +
                 seconds_text(deadline) + "; they may be dead, stuck or overloaded");
}

void Mailbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Mailbox::fail(std::exception_ptr error) {
  inbox_.fail(error);
  const std::lock_guard lock(mutex_);
  failure_ = std::move(error);
  sent_some_.notify_all();
}

bool Mailbox::advance() {
  bool receiving = true;
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return false;
    receiving = !closed_;
  }
  bool moved = take_posts();
  if (outgoing_ > 0) {
    for (std::size_t destination = 0; destination < lanes_.size(); ++destination) moved |= advance_lane(destination);
  }
  if (receiving) {
    moved |= receive_new();
    moved |= finish_arrivals();
  }
  return moved;
}

bool Mailbox::take_posts() {
  {
    const std::lock_guard lock(mutex_);
    taken_.swap(posts_);
  }
  if (taken_.empty()) return false;
  outgoing_ += taken_.size();
  for (Outgoing& message : taken_) {
    lanes_[static_cast<std::size_t>(message.destination)].waiting.push_back(std::move(message));
  }
  taken_.clear();
  return true;
}

bool Mailbox::advance_lane(std::size_t destination) {
  Lane& lane = lanes_[destination];
  bool moved = false;
  std::uint64_t finished = 0;
  while (!lane.flying.empty()) {
    std::vector<MPI_Request>& requests = lane.flying.front().requests;
    int done = 0;
    BLOCKTRAIN_MPI(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE));
    if (!done) break;
    lane.flying.pop_front();
    --outgoing_;
    ++finished;
  }
  if (finished > 0) {
    const std::lock_guard lock(mutex_);
    sent_[destination] += finished;
    sent_some_.notify_all();
    moved = true;
  }
  while (!lane.waiting.empty() && lane.flying.size() < most_flying) {
    lane.flying.push_back(std::move(lane.waiting.front()));
    lane.waiting.pop_front();
    start(lane.flying.back());
    moved = true;
  }
  return moved;
}

void Mailbox::start(Outgoing& message) {
  std::size_t offset = 0;
  while (true) {
    const std::size_t n = std::min(chunk_bytes_, message.payload.size() - offset);
    MPI_Request request = MPI_REQUEST_NULL;
    BLOCKTRAIN_MPI(MPI_Isend(message.payload.data() + offset, static_cast<int>(n), MPI_BYTE, message.destination,
                             message.tag, communicator_, &request));
    message.requests.push_back(request);
    if (n < chunk_bytes_) return;
    offset += n;
  }
}

bool Mailbox::receive_new() {
  bool moved = false;
  for (int i = 0; i < most_receives_per_visit; ++i) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    BLOCKTRAIN_MPI(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, communicator_, &found, &message, &status));
    if (!found) break;
    int bytes = 0;
    BLOCKTRAIN_MPI(MPI_Get_count(&status, MPI_BYTE, &bytes));
    std::deque<Chunk>& chunks = arriving_[{status.MPI_SOURCE, status.MPI_TAG}].chunks;
    Chunk& chunk = chunks.emplace_back();
    chunk.data.resize(static_cast<std::size_t>(bytes));
    BLOCKTRAIN_MPI(MPI_Imrecv(chunk.data.data(), bytes, MPI_BYTE, &message, &chunk.request));
    moved = true;
  }
  return moved;
}

bool Mailbox::finish_arrivals() {
  bool moved = false;
  for (auto entry = arriving_.begin(); entry != arriving_.end();) {
    const auto [source, tag] = entry->first;
    Arriving& arriving = entry->second;
    while (!arriving.chunks.empty()) {
      Chunk& chunk = arriving.chunks.front();
      int done = 0;
      BLOCKTRAIN_MPI(MPI_Test(&chunk.request, &done, MPI_STATUS_IGNORE));
      if (!done) break;
      const bool last = chunk.data.size() < chunk_bytes_;
      if (arriving.complete.empty()) {
        arriving.complete = std::move(chunk.data);
      } else {
        arriving.complete.insert(arriving.complete.end(), chunk.data.begin(), chunk.data.end());
      }
      arriving.chunks.pop_front();
      if (last) inbox_.deliver(tag, {source, std::exchange(arriving.complete, {})});
      moved = true;
    }
    entry = arriving.chunks.empty() && arriving.complete.empty() ? arriving_.erase(entry) : std::next(entry);
  }
  return moved;
}

}  // namespace blocktrain::comm::mpi
