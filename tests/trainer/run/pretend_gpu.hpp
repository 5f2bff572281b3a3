#pragma once
/// A GPU played by the CPU, in float32: for tests of what a device with memory of its own asks of its callers.
///
/// - The host cannot touch its memory, nor it the host's (pretend_memory.hpp, pretend_ops.hpp).
/// - Ops and uploads are done as late as they may be, when somebody waits; so are copies aside, at the next wait for
///   those. What is used before, or overwritten too early, shows.

#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/device.hpp"
#include "tests/trainer/run/pretend_ops.hpp"

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
  kernels::Ops& ops() override { return ops_; }
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
  void copy_aside(void* to, const void* from, std::size_t bytes) override {
    require(PretendMemory::holds(to, bytes) != PretendMemory::holds(from, bytes), "copy_aside");
    late_.push_back([=] { std::memcpy(to, from, bytes); });
    aside_bytes += bytes;
  }
  // Ops are all done before a copy aside is; the other way round says ops_after_aside.
  void aside_after_ops() override {}
  void ops_after_aside() override { finish_aside(); }
  void finish_aside() override {
    ops_.synchronize();
    const PretendMemory::Working working;
    for (const auto& copy : late_) copy();
    late_.clear();
  }
  std::unique_ptr<kernels::Recording> recording() override { return std::make_unique<kernels::Recording>(); }
  void repeat(kernels::Recording&, kernels::WorkRef work) override { work(); }

  std::size_t device_bytes = 0, aside_bytes = 0;

 private:
  static void require(bool holds, const std::string& call) {
    if (!holds)
      throw std::logic_error("a pretended GPU was asked for " + call + " between other memories than it does");
  }

  kernels::DeviceFacts facts_;
  PretendOps ops_;
  std::vector<std::function<void()>> late_;
};

}  // namespace blocktrain::trainer::testing
