#include "trainer/ledger/records.hpp"

#include <time.h>

#include <cmath>
#include <cstring>
#include <string>

namespace blocktrain::trainer {

namespace {

constexpr std::uint32_t magic = 0x42544c50;  // also tells a machine of the other byte order
constexpr std::int64_t largest_count = std::int64_t{1} << 53;
constexpr std::int32_t largest_index = 1 << 24;

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t reserved;
  std::uint32_t steps, work, marks, energy, sources;
};
static_assert(sizeof(Header) == 28);

std::int64_t now_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);  // cannot fail for the two clocks used here
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void put(std::vector<std::byte>& out, const void* data, std::size_t size) {
  if (size == 0) return;
  const std::size_t at = out.size();
  out.resize(at + size);
  std::memcpy(out.data() + at, data, size);
}

template <typename T>
void put_all(std::vector<std::byte>& out, const std::vector<T>& items) {
  put(out, items.data(), items.size() * sizeof(T));
}

void put_text(std::vector<std::byte>& out, const std::string& text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  put(out, &size, sizeof size);
  put(out, text.data(), text.size());
}

/// Takes values off the front of the bytes; `ok` turns false at the first that is not there.
struct Taker {
  std::span<const std::byte> rest;
  bool ok = true;

  void take(void* to, std::size_t size) {
    ok = ok && size <= rest.size();
    if (!ok || size == 0) return;
    std::memcpy(to, rest.data(), size);
    rest = rest.subspan(size);
  }

  template <typename T>
  void take_all(std::vector<T>& items, std::uint32_t count) {
    ok = ok && count <= rest.size() / sizeof(T);  // before the allocation: a count is only as good as its bytes
    if (!ok) return;
    items.resize(count);
    take(items.data(), count * sizeof(T));
  }

  void take_text(std::string& text) {
    std::uint32_t size = 0;
    take(&size, sizeof size);
    ok = ok && size <= rest.size();
    if (!ok) return;
    text.resize(size);
    take(text.data(), size);
  }
};

bool is_index(std::int32_t value) { return value >= 0 && value < largest_index; }
bool is_count(std::int64_t value) { return value >= 0 && value < largest_count; }

bool plausible(const StepRecord& r) {
  return is_index(r.block) && is_index(r.replicas) && r.replica >= 0 && r.replica < r.replicas && is_index(r.rank) &&
         is_index(r.host) && is_count(r.step) && is_count(r.tokens) && is_count(r.samples) && r.busy_begin >= 0 &&
         r.busy_begin <= r.busy_end && r.unix_end >= 0 && !(r.seconds < 0) &&
         static_cast<std::uint32_t>(r.memory_scope) < static_cast<std::uint32_t>(device_memory_scopes);
}

bool plausible(const WorkRecord& w) {
  const auto purpose = static_cast<std::uint8_t>(w.purpose);
  return is_index(w.rank) && is_index(w.host) && w.purpose != BusyPurpose::step && purpose < busy_purposes &&
         w.busy_begin >= 0 && w.busy_begin <= w.busy_end;
}

bool plausible(const BusyMark& m) { return is_index(m.rank) && m.time >= 0 && m.busy_since >= 0; }

/// Of a quantity for which -1 means not known.
bool is_known_or_not(double value) { return value == -1 || (std::isfinite(value) && value >= 0); }

bool plausible(const EnergyRecord& e) {
  return is_index(e.host) && e.device >= -1 && e.device < largest_index && std::isfinite(e.joules) && e.joules >= 0 &&
         e.begin >= 0 && e.begin <= e.end && is_known_or_not(e.update_seconds) && is_known_or_not(e.error_joules);
}

bool is_source(EnergySource source) { return static_cast<std::uint8_t>(source) < energy_sources; }

}  // namespace

std::string_view to_string(EnergySource source) {
  constexpr std::array<std::string_view, energy_sources> names{"gpu", "cpu", "dram"};
  return names.at(static_cast<std::size_t>(source));
}

std::string_view to_string(DeviceMemoryScope scope) {
  constexpr std::array<std::string_view, device_memory_scopes> names{"", "process", "board"};
  return names.at(static_cast<std::size_t>(scope));
}

std::int64_t monotonic_ns() { return now_ns(CLOCK_MONOTONIC); }
std::int64_t unix_ns() { return now_ns(CLOCK_REALTIME); }

void LedgerPacket::clear() {
  steps.clear();
  work.clear();
  marks.clear();
  energy.clear();
  sources.clear();
}

void encode(const LedgerPacket& packet, std::vector<std::byte>& out) {
  const auto count = [](const auto& items) { return static_cast<std::uint32_t>(items.size()); };
  const Header header{magic,
                      packet_version,
                      0,
                      count(packet.steps),
                      count(packet.work),
                      count(packet.marks),
                      count(packet.energy),
                      count(packet.sources)};
  out.clear();
  put(out, &header, sizeof header);
  put_all(out, packet.steps);
  put_all(out, packet.work);
  put_all(out, packet.marks);
  put_all(out, packet.energy);
  for (const SourceStatus& status : packet.sources) {
    const std::uint8_t kind[2] = {static_cast<std::uint8_t>(status.source), status.available};
    put(out, &status.host, sizeof status.host);
    put(out, &status.device, sizeof status.device);
    put(out, kind, sizeof kind);
    put(out, &status.update_seconds, sizeof status.update_seconds);
    put_text(out, status.sensor);
    put_text(out, status.reason);
    put_text(out, status.update_reason);
  }
}

std::string decode(std::span<const std::byte> bytes, LedgerPacket& out) {
  out.clear();
  Taker taker{bytes};
  Header header{};
  taker.take(&header, sizeof header);
  if (!taker.ok || header.magic != magic) return "not a ledger packet, or of a machine with another byte order";
  if (header.version != packet_version) {
    return "ledger packet of version " + std::to_string(header.version) + ", this program speaks " +
           std::to_string(packet_version) + ": all ranks have to run the same build";
  }
  LedgerPacket packet;
  taker.take_all(packet.steps, header.steps);
  taker.take_all(packet.work, header.work);
  taker.take_all(packet.marks, header.marks);
  taker.take_all(packet.energy, header.energy);
  constexpr std::size_t smallest_status = 30;
  if (taker.ok && header.sources > taker.rest.size() / smallest_status) taker.ok = false;
  for (std::uint32_t i = 0; taker.ok && i < header.sources; ++i) {
    SourceStatus status;
    std::uint8_t kind[2] = {0, 0};
    taker.take(&status.host, sizeof status.host);
    taker.take(&status.device, sizeof status.device);
    taker.take(kind, sizeof kind);
    taker.take(&status.update_seconds, sizeof status.update_seconds);
    taker.take_text(status.sensor);
    taker.take_text(status.reason);
    taker.take_text(status.update_reason);
    status.source = static_cast<EnergySource>(kind[0]);
    status.available = kind[1] == 1;
    if (!is_index(status.host) || status.device < -1 || !is_source(status.source) || kind[1] > 1 ||
        !is_known_or_not(status.update_seconds)) {
      return "ledger packet with an impossible status of a sensor";
    }
    packet.sources.push_back(std::move(status));
  }
  if (!taker.ok || !taker.rest.empty()) return "ledger packet of the wrong length";
  for (const StepRecord& record : packet.steps) {
    if (!plausible(record)) return "ledger packet with an impossible step record";
  }
  for (const WorkRecord& record : packet.work) {
    if (!plausible(record)) return "ledger packet with an impossible work record";
  }
  for (const BusyMark& mark : packet.marks) {
    if (!plausible(mark)) return "ledger packet with an impossible busy mark";
  }
  for (const EnergyRecord& record : packet.energy) {
    if (!is_source(record.source) || !plausible(record)) return "ledger packet with an impossible energy record";
  }
  out = std::move(packet);
  return {};
}

}  // namespace blocktrain::trainer
