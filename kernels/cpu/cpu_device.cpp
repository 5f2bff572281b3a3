// The host as a device: its memory is everybody's, and a call has been carried out when it returns.
#include <cstring>

#include "kernels/backend.hpp"
#include "kernels/device.hpp"

namespace blocktrain::kernels {
namespace {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads) : ops_(make_cpu_backend(threads)) {}

  const DeviceFacts& facts() const override { return facts_; }
  Ops& ops() override { return ops_; }
  bool shares_host_memory() const override { return true; }
  Arena arena(std::string purpose, std::size_t bytes) override { return Arena::host(std::move(purpose), bytes); }
  Arena staging(std::string purpose, std::size_t bytes) override { return Arena::host(std::move(purpose), bytes); }
  void upload(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void download_async(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  std::unique_ptr<Event> make_event() override { return std::make_unique<Event>(); }
  void record(Event&) override {}
  void synchronize(Event&) override {}
  bool query(Event&) override { return true; }
  void copy_async(CopyStream, void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copies_wait_for_ops(CopyStream) override {}
  void ops_wait_for_copies(CopyStream) override {}
  void synchronize(CopyStream) override {}
  std::unique_ptr<Graph> make_graph() override { return std::make_unique<Graph>(); }
  void launch(Graph&, WorkRef work) override { work(); }

 private:
  DeviceFacts facts_;
  Ops ops_;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(int threads) { return std::make_unique<CpuDevice>(threads); }

}  // namespace blocktrain::kernels
