#include "comm/device_transport.hpp"

#include <algorithm>
#include <map>

#include "comm/wording.hpp"
#include "kernels/error.hpp"

namespace blocktrain::comm {
namespace {

/// The next of the texts that gather_devices joins.
std::string take_text(std::span<const std::byte>& bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  const auto length = static_cast<std::size_t>(end - bytes.begin());
  const std::string text(reinterpret_cast<const char*>(bytes.data()), length);
  bytes = bytes.subspan(std::min(bytes.size(), length + 1));
  return text;
}

/// Why NCCL cannot serve the group; empty if it can.
std::string obstacle(std::span<const int> ranks, std::span<const RankDevice> devices) {
  std::vector<int> without_gpu;
  std::map<std::string, std::vector<int>> ranks_of_gpu;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (devices[i].gpu_uuid.empty()) {
      without_gpu.push_back(ranks[i]);
    } else {
      ranks_of_gpu[devices[i].gpu_uuid].push_back(ranks[i]);
    }
  }
  if (!without_gpu.empty()) return ranks_text(without_gpu) + (without_gpu.size() == 1 ? " has" : " have") + " no GPU";
  for (const auto& [gpu, sharing] : ranks_of_gpu) {
    if (sharing.size() > 1) return ranks_text(sharing) + " share " + gpu + ": NCCL refuses two ranks on one GPU";
  }
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (devices[i].nccl_version.empty()) {
      return ranks_text({ranks[i]}) + " has no NCCL: " + devices[i].why_no_nccl;
    }
  }
  for (std::size_t i = 1; i < ranks.size(); ++i) {
    if (devices[i].nccl_version != devices[0].nccl_version) {
      return "rank " + std::to_string(ranks[0]) + " has NCCL " + devices[0].nccl_version + " and rank " +
             std::to_string(ranks[i]) + " has NCCL " + devices[i].nccl_version;
    }
  }
  return {};
}

}  // namespace

std::vector<RankDevice> gather_devices(Communicator& group, const RankDevice& self) {
  const std::string mine = self.gpu_uuid + '\0' + self.nccl_version + '\0' + self.why_no_nccl;
  std::vector<RankDevice> devices;
  for (const auto& bytes : group.all_gather(std::as_bytes(std::span(mine)), TrafficPurpose::control)) {
    std::span<const std::byte> rest(bytes);
    RankDevice device;
    device.gpu_uuid = take_text(rest);
    device.nccl_version = take_text(rest);
    device.why_no_nccl = take_text(rest);
    devices.push_back(std::move(device));
  }
  return devices;
}

TransportDecision choose_transport(std::span<const int> ranks, DeviceTransport requested,
                                   std::span<const RankDevice> devices) {
  BLOCKTRAIN_EXPECTS(!ranks.empty() && ranks.size() == devices.size());
  if (requested == DeviceTransport::staged) {
    return {DeviceTransport::staged, "ranks exchange through host memory, as was asked for"};
  }
  const std::string why_not = obstacle(ranks, devices);
  if (requested == DeviceTransport::nccl) {
    if (!why_not.empty()) {
      throw InputError(
          "parallel.gpu_transport is nccl, which is not possible: " + why_not +
          "; use parallel.gpu_transport: auto or host, or as many GPUs as ranks with the same NCCL on each");
    }
    return {DeviceTransport::nccl, "ranks exchange through NCCL " + devices[0].nccl_version + ", as was asked for"};
  }
  if (ranks.size() == 1) return {DeviceTransport::staged, "a group of one rank sends nothing"};
  if (why_not.empty()) {
    return {DeviceTransport::nccl, ranks_text({ranks.begin(), ranks.end()}) +
                                       " have a GPU each and exchange through NCCL " + devices[0].nccl_version};
  }
  return {DeviceTransport::staged,
          why_not + "; " + ranks_text({ranks.begin(), ranks.end()}) + " exchange through host memory"};
}

}  // namespace blocktrain::comm
