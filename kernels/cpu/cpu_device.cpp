// The host as a device: its memory is everybody's, and a call has been carried out when it returns.
#include <cstring>

#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/device.hpp"

namespace blocktrain::kernels {
namespace {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads) : ops_(threads) {}

  const DeviceFacts& facts() const override { return facts_; }
  Ops& ops() override { return ops_; }
  bool shares_host_memory() const override { return true; }
  Arena arena(std::string purpose, std::size_t bytes) override { return Arena::host(std::move(purpose), bytes); }
  Arena staging(std::string purpose, std::size_t bytes) override { return Arena::host(std::move(purpose), bytes); }
  void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download_later(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  std::unique_ptr<Mark> mark() override { return std::make_unique<Mark>(); }
  void set(Mark&) override {}
  void wait(Mark&) override {}
  bool passed(Mark&) override { return true; }
  void copy_aside(Side, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void aside_after_ops(Side) override {}
  void ops_after_aside(Side) override {}
  void finish_aside(Side) override {}
  std::unique_ptr<Recording> recording() override { return std::make_unique<Recording>(); }
  void repeat(Recording&, WorkRef work) override { work(); }

 private:
  DeviceFacts facts_;
  CpuOps ops_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(int threads) { return std::make_unique<CpuDevice>(threads); }

}  // namespace blocktrain::kernels
