#pragma once
/// A GPU played by the CPU, in float32: for tests of what a device with memory of its own asks of its callers.
///
/// - The host cannot touch its memory, nor it the host's (pretend_memory.hpp, pretend_ops.hpp).
/// - Ops and uploads are done as late as they may be, when somebody waits; so are copies aside, at the next wait for
///   those. What is used before, or overwritten too early, shows.

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/device.hpp"
#include "tests/pretended_gpu/pretend_ops.hpp"

namespace blocktrain::trainer::testing {

class PretendGpu final : public kernels::Device {
 public:
  PretendGpu() {
    facts_.kind = "cuda";
    facts_.name = "Pretended GPU";
    facts_.uuid = "GPU-0";
    facts_.memory_bytes = facts_.free_bytes = std::size_t{1} << 30;
  }
  explicit PretendGpu(std::size_t free_bytes) : PretendGpu() { facts_.free_bytes = free_bytes; }

  const kernels::DeviceFacts& facts() const override { return facts_; }
  std::optional<std::size_t> free_bytes() const override { return free_now; }
  kernels::Ops& ops() override { return ops_; }
  PretendOps& pretended_ops() { return ops_; }
  bool shares_host_memory() const override { return false; }
  kernels::Arena arena(std::string purpose, std::size_t bytes) override {
    static const kernels::MemoryKind kind{
        [](std::byte* memory, std::size_t) noexcept { PretendMemory::release(memory); },
        [](void* to, const void* from, std::size_t n) {
          const PretendMemory::Working working;
          std::memcpy(to, from, n);
        },
        false};
    device_bytes += bytes;
    return kernels::Arena::over(std::move(purpose), PretendMemory::take(bytes), bytes, kind);
  }
  kernels::Arena staging(std::string purpose, std::size_t bytes) override {
    return kernels::Arena::host(std::move(purpose), bytes);
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    require(PretendMemory::holds(to, bytes) && !PretendMemory::holds(from, 1), "upload");
    ops_.enqueue([=] { std::memcpy(to, from, bytes); });
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    require(!PretendMemory::holds(to, 1) && PretendMemory::holds(from, bytes), "download");
    ops_.enqueue([=] { std::memcpy(to, from, bytes); });
    ops_.synchronize();
  }
  void download_later(void* to, const void* from, std::size_t bytes) override {
    require(!PretendMemory::holds(to, 1) && PretendMemory::holds(from, bytes), "download_later");
    ops_.enqueue([=] { std::memcpy(to, from, bytes); });
  }
  std::unique_ptr<kernels::Mark> mark() override { return std::make_unique<kernels::Mark>(); }
  void set(kernels::Mark&) override {}
  void wait(kernels::Mark&) override { ops_.synchronize(); }
  bool passed(kernels::Mark&) override {
    ops_.synchronize();
    return true;
  }

  void copy_aside(kernels::Side side, void* to, const void* from, std::size_t bytes) override {
    require(PretendMemory::holds(to, bytes) != PretendMemory::holds(from, bytes), "copy_aside");
    at(side).push_back([=] { std::memcpy(to, from, bytes); });
    if (side == kernels::Side::blocks) aside_bytes += bytes;
  }
  // Ops are all done before a copy aside is; the other way round says ops_after_aside.
  void aside_after_ops(kernels::Side) override {}
  void ops_after_aside(kernels::Side side) override { finish_aside(side); }
  void finish_aside(kernels::Side side) override {
    if (at(side).empty()) return;
    ops_.synchronize();
    const PretendMemory::Working working;
    for (const auto& copy : at(side)) copy();
    at(side).clear();
  }
  std::unique_ptr<kernels::Recording> recording() override { return std::make_unique<kernels::Recording>(); }
  void repeat(kernels::Recording&, kernels::WorkRef work) override { work(); }

  std::size_t device_bytes = 0, aside_bytes = 0;
  std::optional<std::size_t> free_now;

 private:
  static void require(bool holds, const std::string& call) {
    if (!holds)
      throw std::logic_error("a pretended GPU was asked for " + call + " between other memories than it does");
  }

  std::vector<std::function<void()>>& at(kernels::Side side) { return late_[static_cast<std::size_t>(side)]; }

  kernels::DeviceFacts facts_;
  PretendOps ops_;
  std::array<std::vector<std::function<void()>>, 2> late_;
};

}  // namespace blocktrain::trainer::testing
