#include "tests/comm/fake_nccl.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "tests/comm/allocation_count.hpp"

namespace blocktrain::comm::test {
namespace {

thread_local std::uint64_t g_allocations = 0;

class CountAllocations {
 public:
  ~CountAllocations() { g_allocations += allocations_of_this_thread() - before_; }

 private:
  const std::uint64_t before_ = allocations_of_this_thread();
};

/// What a stream was given; it has ended when nothing of it remains.
struct Work {
  std::atomic<int> remaining{1};
};

/// One rank's part in a collective.
struct Part {
  const void* send = nullptr;
  void* receive = nullptr;
  std::shared_ptr<Work> work;
};

struct Collective {
  std::vector<Part> parts;
  int arrived = 0;
};

struct Message {
  void* data = nullptr;
  std::size_t bytes = 0;
  std::shared_ptr<Work> work;
};

/// What the ranks of one communicator share.
struct Clique {
  std::mutex mutex;
  int joined = 0;
  bool aborted = false;  ///< its memory may be gone: nothing moves any more
  std::map<std::uint64_t, Collective> collectives;
  std::map<std::pair<int, int>, std::deque<Message>> sends, receives;  ///< by source and destination
};

/// A rank's communicator.
struct Member {
  std::shared_ptr<Clique> clique;
  void** handle = nullptr;  ///< the caller's, written once more at the end of the creation, as NCCL does
  int rank = 0;
  int size = 0;
  std::uint64_t collectives = 0;
  int polls_until_free = 0;  ///< how often it still answers "in progress"
  bool stuck = false;
  int error = 0;
  bool initialised = false;
};

struct PointToPoint {
  Member* member;
  bool sends;
  int peer;
  Message message;
  void* stream;
};

}  // namespace

class FakeNccl::World {
 public:
  std::shared_ptr<Clique> clique(const NcclUniqueId& id) {
    std::uint64_t number = 0;
    std::memcpy(&number, id.data(), sizeof number);
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Clique>& found = cliques_[number];
    if (!found) found = std::make_shared<Clique>();
    return found;
  }
  void name(NcclUniqueId& id) {
    const std::lock_guard lock(mutex_);
    ++last_id_;
    std::memcpy(id.data(), &last_id_, sizeof last_id_);
  }
  void hang() {
    std::unique_lock lock(mutex_);
    released_.wait(lock, [this] { return release_; });
  }
  void release() {
    const std::lock_guard lock(mutex_);
    release_ = true;
    released_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool release_ = false;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Clique>> cliques_;
};

namespace {

/// One rank's side: its tables' functions. Called by the rank's thread, and by helper threads for abort and destroy.
class Rank {
 public:
  Rank(std::shared_ptr<FakeNccl::World> world, const NcclFaults& what_fails)
      : faults(what_fails), calls(std::make_shared<FakeNcclRank::Calls>()), world_(std::move(world)) {}

  const NcclFaults faults;
  const std::shared_ptr<FakeNcclRank::Calls> calls;

  int get_unique_id(NcclUniqueId& id) {
    if (faults.unique_id_error != 0) return faults.unique_id_error;
    world_->name(id);
    return nccl_success;
  }

  int init(void** communicator, int ranks, const NcclUniqueId& id, int rank) {
    if (faults.init_error != 0) return faults.init_error;
    auto* member = new Member;
    member->clique = world_->clique(id);
    member->rank = rank;
    member->size = ranks;
    member->stuck = faults.init_never_ends;
    member->handle = communicator;
    *communicator = member;
    const std::lock_guard lock(member->clique->mutex);
    ++member->clique->joined;
    return nccl_in_progress;
  }

  int async_error(void* communicator, int* state) {
    Member& member = *static_cast<Member*>(communicator);
    if (!member.initialised) {
      const std::lock_guard lock(member.clique->mutex);
      member.initialised = member.clique->joined == member.size && !member.stuck;
      if (member.initialised) *member.handle = &member;
      *state = member.initialised ? nccl_success : nccl_in_progress;
      return nccl_success;
    }
    *state = member.stuck || member.polls_until_free > 0 ? nccl_in_progress : member.error;
    if (member.polls_until_free > 0) --member.polls_until_free;
    return nccl_success;
  }

  int finalize(void* communicator) {
    ++calls->finalizes;
    Member& member = *static_cast<Member*>(communicator);
    member.stuck = faults.finalize_never_ends;
    member.polls_until_free = 2;
    return nccl_in_progress;
  }

  int destroy(void* communicator) {
    ++calls->destroys;
    if (faults.destroy_hangs) world_->hang();
    delete static_cast<Member*>(communicator);
    return nccl_success;
  }

  int abort(void* communicator) {
    ++calls->aborts;
    auto* member = static_cast<Member*>(communicator);
    {
      const std::lock_guard lock(member->clique->mutex);
      member->clique->aborted = true;
    }
    if (faults.abort_hangs) world_->hang();
    if (!member->initialised) *member->handle = nullptr;  // by a thread of NCCL that was late
    delete member;
    return nccl_success;
  }

  /// `finish` has all parts and moves the memory.
  template <class Finish>
  int collective(void* communicator, const void* send, void* receive, void* stream, const Finish& finish) {
    const CountAllocations count;
    Member& member = *static_cast<Member*>(communicator);
    const auto work = take_in(member, stream);
    if (faults.device_never_ends) return nccl_in_progress;
    const std::lock_guard lock(member.clique->mutex);
    if (member.clique->aborted) return nccl_in_progress;
    const std::uint64_t number = member.collectives++;
    Collective& all = member.clique->collectives[number];
    all.parts.resize(static_cast<std::size_t>(member.size));
    all.parts[static_cast<std::size_t>(member.rank)] = {send, receive, work};
    if (++all.arrived == member.size) {
      finish(all.parts);
      for (const Part& part : all.parts) part.work->remaining.store(0, std::memory_order_release);
      member.clique->collectives.erase(number);
    }
    return nccl_in_progress;
  }

  int point_to_point(bool sends, void* communicator, int peer, void* data, std::size_t bytes, void* stream) {
    if (sends && faults.send_error != 0) return faults.send_error;
    grouped_.push_back({static_cast<Member*>(communicator), sends, peer, {data, bytes, nullptr}, stream});
    return nccl_success;
  }

  int group_start() {
    ++calls->open_groups;
    return nccl_success;
  }

  int group_end() {
    --calls->open_groups;
    std::vector<PointToPoint> group;
    group.swap(grouped_);
    if (faults.group_end_error != 0) return faults.group_end_error;
    if (group.empty()) return nccl_success;
    Member& member = *group.front().member;
    const auto work = take_in(member, group.front().stream);
    work->remaining = static_cast<int>(group.size());
    if (faults.device_never_ends) return nccl_in_progress;
    const std::lock_guard lock(member.clique->mutex);
    for (PointToPoint& one : group) {
      one.message.work = work;
      const auto pair = one.sends ? std::pair(member.rank, one.peer) : std::pair(one.peer, member.rank);
      auto& sends = member.clique->sends[pair];
      auto& receives = member.clique->receives[pair];
      (one.sends ? sends : receives).push_back(one.message);
      while (!member.clique->aborted && !sends.empty() && !receives.empty()) {
        std::memcpy(receives.front().data, sends.front().data, std::min(sends.front().bytes, receives.front().bytes));
        --sends.front().work->remaining;
        --receives.front().work->remaining;
        sends.pop_front();
        receives.pop_front();
      }
    }
    return nccl_in_progress;
  }

  // The device: an event is the work that its stream was given last.
  int event_record(void* event, void* stream) {
    *static_cast<std::shared_ptr<Work>*>(event) = last_work_[stream];
    return device_success;
  }
  int event_query(void* event) const {
    if (faults.event_error != 0) return faults.event_error;
    const auto& work = *static_cast<std::shared_ptr<Work>*>(event);
    return !work || work->remaining.load(std::memory_order_acquire) == 0 ? device_success : device_not_ready;
  }

 private:
  std::shared_ptr<Work> take_in(Member& member, void* stream) {
    member.polls_until_free = 2;
    member.stuck = faults.taking_in_never_ends;
    member.error = faults.async_error;
    return last_work_[stream] = std::make_shared<Work>();
  }

  const std::shared_ptr<FakeNccl::World> world_;
  std::vector<PointToPoint> grouped_;
  std::map<void*, std::shared_ptr<Work>> last_work_;
};

void add_in_rank_order(const std::vector<Part>& parts, std::size_t count) {
  std::vector<float> sum(count);
  for (const Part& part : parts) {
    for (std::size_t i = 0; i < count; ++i) sum[i] += static_cast<const float*>(part.send)[i];
  }
  for (const Part& part : parts) std::memcpy(part.receive, sum.data(), count * sizeof(float));
}

void copy_from_root(const std::vector<Part>& parts, std::size_t bytes, int root) {
  for (std::size_t rank = 0; rank < parts.size(); ++rank) {
    if (static_cast<int>(rank) != root) {
      std::memcpy(parts[rank].receive, parts[static_cast<std::size_t>(root)].send, bytes);
    }
  }
}

}  // namespace

std::uint64_t allocations_of_the_fake() { return g_allocations; }

FakeNccl::FakeNccl() : world_(std::make_shared<World>()) {}

FakeNccl::~FakeNccl() { world_->release(); }

FakeNcclRank FakeNccl::rank(const NcclFaults& faults) {
  const auto rank = std::make_shared<Rank>(world_, faults);
  auto nccl = std::make_shared<NcclApi>();
  nccl->get_unique_id = [rank](NcclUniqueId& id) { return rank->get_unique_id(id); };
  nccl->comm_init_rank_config = [rank](void** c, int ranks, const NcclUniqueId& id, int number) {
    return rank->init(c, ranks, id, number);
  };
  nccl->comm_get_async_error = [rank](void* c, int* state) { return rank->async_error(c, state); };
  nccl->comm_finalize = [rank](void* c) { return rank->finalize(c); };
  nccl->comm_destroy = [rank](void* c) { return rank->destroy(c); };
  nccl->comm_abort = [rank](void* c) { return rank->abort(c); };
  nccl->all_reduce = [rank](const void* send, void* receive, std::size_t count, void* c, void* stream) {
    return rank->collective(c, send, receive, stream,
                            [count](const std::vector<Part>& parts) { add_in_rank_order(parts, count); });
  };
  nccl->broadcast = [rank](const void* send, void* receive, std::size_t bytes, int root, void* c, void* stream) {
    return rank->collective(c, send, receive, stream,
                            [bytes, root](const std::vector<Part>& parts) { copy_from_root(parts, bytes, root); });
  };
  nccl->send = [rank](const void* data, std::size_t bytes, int peer, void* c, void* stream) {
    return rank->point_to_point(true, c, peer, const_cast<void*>(data), bytes, stream);
  };
  nccl->receive = [rank](void* data, std::size_t bytes, int peer, void* c, void* stream) {
    return rank->point_to_point(false, c, peer, data, bytes, stream);
  };
  nccl->group_start = [rank] { return rank->group_start(); };
  nccl->group_end = [rank] { return rank->group_end(); };
  nccl->get_error_string = [](int code) { return "fake error " + std::to_string(code); };
  nccl->get_last_error = [](void*) { return std::string("fake last words"); };
  nccl->get_version = [](int* version) {
    *version = 22809;
    return nccl_success;
  };

  auto device = std::make_shared<DeviceApi>(*host_device_api());
  device->event_create = [](void** event) {
    *event = new std::shared_ptr<Work>;
    return device_success;
  };
  device->event_record = [rank](void* event, void* stream) { return rank->event_record(event, stream); };
  device->event_query = [rank](void* event) { return rank->event_query(event); };
  device->event_destroy = [](void* event) {
    delete static_cast<std::shared_ptr<Work>*>(event);
    return device_success;
  };
  return {nccl, device, rank->calls};
}

}  // namespace blocktrain::comm::test
