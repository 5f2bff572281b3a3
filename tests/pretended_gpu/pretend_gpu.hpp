#pragma once
/// A GPU played by the CPU, in float32: for tests of what a device with memory of its own asks of its callers.
///
/// - The host cannot touch its memory, nor it the host's (pretend_memory.hpp, pretend_backend.hpp).
/// - Ops and uploads are done as late as they may be, when somebody waits; so are asynchronous copies, at the next wait
/// for
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
#include "tests/pretended_gpu/pretend_backend.hpp"

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
  PretendBackend& backend() { return *backend_; }
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
    backend_->enqueue([=] { std::memcpy(to, from, bytes); });
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    require(!PretendMemory::holds(to, 1) && PretendMemory::holds(from, bytes), "download");
    backend_->enqueue([=] { std::memcpy(to, from, bytes); });
    ops_.synchronize();
  }
  void download_async(void* to, const void* from, std::size_t bytes) override {
    require(!PretendMemory::holds(to, 1) && PretendMemory::holds(from, bytes), "download_async");
    backend_->enqueue([=] { std::memcpy(to, from, bytes); });
  }
  std::unique_ptr<kernels::Event> make_event() override { return std::make_unique<kernels::Event>(); }
  void record(kernels::Event&) override {}
  void synchronize(kernels::Event&) override { ops_.synchronize(); }
  bool query(kernels::Event&) override {
    ops_.synchronize();
    return true;
  }

  void copy_async(kernels::CopyStream stream, void* to, const void* from, std::size_t bytes) override {
    require(PretendMemory::holds(to, bytes) != PretendMemory::holds(from, bytes), "copy_async");
    at(stream).push_back([=] { std::memcpy(to, from, bytes); });
    if (stream == kernels::CopyStream::blocks) copied_bytes += bytes;
  }
  // Ops are all done before an asynchronous copy is; the other way round says ops_wait_for_copies.
  void copies_wait_for_ops(kernels::CopyStream) override {}
  void ops_wait_for_copies(kernels::CopyStream stream) override { synchronize(stream); }
  void synchronize(kernels::CopyStream stream) override {
    if (at(stream).empty()) return;
    ops_.synchronize();
    const PretendMemory::Working working;
    for (const auto& copy : at(stream)) copy();
    at(stream).clear();
  }
  std::unique_ptr<kernels::Graph> make_graph() override { return std::make_unique<kernels::Graph>(); }
  void launch(kernels::Graph&, kernels::WorkRef work) override { work(); }

  std::size_t device_bytes = 0, copied_bytes = 0;
  std::optional<std::size_t> free_now;

 private:
  static void require(bool holds, const std::string& call) {
    if (!holds)
      throw std::logic_error("a pretended GPU was asked for " + call + " between other memories than it does");
  }

  std::vector<std::function<void()>>& at(kernels::CopyStream stream) { return late_[static_cast<std::size_t>(stream)]; }

  kernels::DeviceFacts facts_;
  PretendBackend* backend_ = new PretendBackend;  ///< of ops_
  kernels::Ops ops_{std::unique_ptr<kernels::Backend>(backend_)};
  std::array<std::vector<std::function<void()>>, 2> late_;
};

}  // namespace blocktrain::trainer::testing
