// Sensors over made-up powercap trees.
#include "trainer/ledger/energy/powercap.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "tests/trainer/ledger/support.hpp"
#include "trainer/ledger/energy/host_sensors.hpp"

using namespace blocktrain::trainer;
using namespace blocktrain::trainer::test;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct Tree : Folder {
  /// `zone` as path under the root, e.g. "intel-rapl:0/intel-rapl:0:1".
  void zone(const std::string& zone, const std::string& label, std::uint64_t microjoules,
            std::uint64_t range = 262'143'328'850) const {
    write(zone + "/name", label + "\n");
    write(zone + "/max_energy_range_uj", std::to_string(range) + "\n");
    set(zone, microjoules);
  }
  void set(const std::string& zone, std::uint64_t microjoules) const {
    write(zone + "/energy_uj", std::to_string(microjoules) + "\n");
  }
  /// Two packages with core, uncore and dram, psys, the mmio twin, and the control type's own folder, as the kernel
  /// shows them: parts both inside their package and beside it.
  void server() const {
    write("intel-rapl/enabled", "1\n");
    for (const std::string n : {"0", "1"}) {
      const std::string package = "intel-rapl:" + n;
      zone(package, "package-" + n, 1'000'000);
      zone(package + "/" + package + ":0", "core", 5);
      zone(package + "/" + package + ":1", "dram", 2'000'000);
      fs::create_directory_symlink(path / package / (package + ":0"), path / (package + ":0"));
      fs::create_directory_symlink(path / package / (package + ":1"), path / (package + ":1"));
      zone("intel-rapl-mmio:" + n, "package-" + n, 77);
    }
    zone("intel-rapl:2", "psys", 9'000'000);
  }
};

double joules(PowercapSensor& sensor, std::int64_t now) {
  const EnergyReading reading = sensor.read(now);
  BOOST_REQUIRE_MESSAGE(reading.joules, reading.reason);
  BOOST_CHECK_EQUAL(reading.reason, "");
  return *reading.joules;
}

std::string reason(PowercapSensor& sensor, std::int64_t now = second) {
  const EnergyReading reading = sensor.read(now);
  BOOST_CHECK(!reading.joules);
  return reading.reason;
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("not in: " << text);
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(powercap)

BOOST_AUTO_TEST_CASE(packages_add_up_and_their_parts_are_not_added_again) {
  Tree tree;
  tree.server();
  PowercapSensor cpu(tree.name(), EnergySource::cpu), dram(tree.name(), EnergySource::dram);
  BOOST_CHECK_EQUAL(cpu.files().size(), 2u);
  BOOST_CHECK_EQUAL(dram.files().size(), 2u);
  const double cpu_start = joules(cpu, 0), dram_start = joules(dram, 0);
  tree.set("intel-rapl:0", 4'000'000);
  tree.set("intel-rapl:1", 1'500'000);
  tree.set("intel-rapl:0/intel-rapl:0:0", 900'000'000);
  tree.set("intel-rapl:0/intel-rapl:0:1", 2'250'000);
  tree.set("intel-rapl:2", 999'000'000);
  tree.set("intel-rapl-mmio:0", 999'000'000);
  BOOST_CHECK_CLOSE(joules(cpu, second) - cpu_start, 3.5, 1e-9);
  BOOST_CHECK_CLOSE(joules(dram, second) - dram_start, 0.25, 1e-9);
}

BOOST_AUTO_TEST_CASE(folders_that_are_named_like_zones_are_none) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 1);
  for (const std::string name : {"intel-rapl:", "intel-rapl:0:", "intel-rapl::1", "intel-rapl:x", "intel-rapl:1x"}) {
    tree.zone(name, "package-1", 1);
  }
  BOOST_CHECK_EQUAL(PowercapSensor(tree.name(), EnergySource::cpu).files().size(), 1u);
}

BOOST_AUTO_TEST_CASE(dram_is_found_in_a_flat_tree_of_a_package_with_dies) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0-die-0", 0);
  tree.zone("intel-rapl:0:3", "dram", 0);
  PowercapSensor dram(tree.name(), EnergySource::dram);
  const double start = joules(dram, 0);
  tree.set("intel-rapl:0:3", 500'000);
  BOOST_CHECK_CLOSE(joules(dram, second) - start, 0.5, 1e-9);
}

BOOST_AUTO_TEST_CASE(no_dram_zone_is_a_reason) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 0);
  tree.zone("intel-rapl:0/intel-rapl:0:0", "core", 0);
  PowercapSensor cpu(tree.name(), EnergySource::cpu), dram(tree.name(), EnergySource::dram);
  joules(cpu, 0);
  BOOST_CHECK(contains(reason(dram), "no dram zone"));
}

BOOST_AUTO_TEST_CASE(dram_of_some_packages_is_not_the_dram_of_the_host) {
  Tree tree;
  tree.server();
  fs::remove_all(tree.path / "intel-rapl:1" / "intel-rapl:1:1");
  fs::remove(tree.path / "intel-rapl:1:1");
  PowercapSensor dram(tree.name(), EnergySource::dram);
  BOOST_CHECK(contains(reason(dram), "only 1 of 2 packages"));
}

BOOST_AUTO_TEST_CASE(nothing_there_is_a_reason) {
  Tree tree;
  for (const std::string& root : {tree.name(), tree.name() + "/absent"}) {
    PowercapSensor cpu(root, EnergySource::cpu);
    BOOST_CHECK(contains(reason(cpu), "no powercap RAPL under " + root));
    BOOST_CHECK(contains(reason(cpu), "virtual machine"));
    BOOST_CHECK(cpu.files().empty());
  }
}

BOOST_AUTO_TEST_CASE(psys_alone_is_no_package) {
  Tree tree;
  tree.zone("intel-rapl:0", "psys", 0);
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  BOOST_CHECK(contains(reason(cpu), "no powercap RAPL"));
}

BOOST_AUTO_TEST_CASE(a_file_without_permission_is_named_with_what_to_do) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 0);
  const std::string file = tree.name() + "/intel-rapl:0/energy_uj";
  BOOST_REQUIRE_EQUAL(::chmod(file.c_str(), 0), 0);
  BOOST_REQUIRE_EQUAL(::chmod(tree.name().c_str(), 0755), 0);  // mkdtemp made it for one user alone
  // The superuser may read everything: be somebody else for a moment.
  if (::access(file.c_str(), R_OK) == 0 && ::seteuid(65534) != 0) {
    BOOST_TEST_MESSAGE("SKIPPED: cannot give up the superuser's rights");
    return;
  }
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  const std::string text = cpu.read(0).reason;
  if (::getuid() != ::geteuid()) BOOST_REQUIRE_EQUAL(::seteuid(::getuid()), 0);
  BOOST_CHECK(contains(text, "no permission to read " + file));
  BOOST_CHECK(contains(text, "chmod a+r"));
  BOOST_CHECK(contains(text, "udev"));
}

BOOST_AUTO_TEST_CASE(a_wrap_goes_on_counting) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 65'000'000'000, 65'532'610'987);
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  const double start = joules(cpu, 0);
  tree.set("intel-rapl:0", 67'389'013);
  BOOST_CHECK_CLOSE(joules(cpu, 10 * second) - start, 600.0, 1e-9);
  tree.set("intel-rapl:0", 68'389'013);
  BOOST_CHECK_CLOSE(joules(cpu, 20 * second) - start, 601.0, 1e-9);
}

BOOST_AUTO_TEST_CASE(a_counter_that_was_reset_is_not_taken_for_a_wrap) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 200'000'000, 262'143'328'850);
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  joules(cpu, 0);
  tree.set("intel-rapl:0", 1'000'000);
  BOOST_CHECK(contains(reason(cpu, second), "set back"));
  tree.set("intel-rapl:0", 2'000'000);
  BOOST_CHECK(contains(reason(cpu, 2 * second), "set back"));  // and stays away
}

BOOST_AUTO_TEST_CASE(a_wrap_that_no_package_has_the_watts_for_is_a_reset) {
  // More than 5000 W for two seconds.
  for (const std::uint64_t joules_added : {9'900, 10'100}) {
    Tree tree;
    tree.zone("intel-rapl:0", "package-0", 65'000'000'000, 65'000'000'000);
    PowercapSensor cpu(tree.name(), EnergySource::cpu);
    const double start = joules(cpu, 0);
    tree.set("intel-rapl:0", joules_added * 1'000'000);
    if (joules_added < 10'000) {
      BOOST_CHECK_CLOSE(joules(cpu, 2 * second) - start, static_cast<double>(joules_added), 1e-9);
    } else {
      BOOST_CHECK(contains(reason(cpu, 2 * second), "set back"));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_fall_without_a_range_is_not_guessed) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 5'000'000);
  fs::remove(tree.path / "intel-rapl:0/max_energy_range_uj");
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  joules(cpu, 0);
  tree.set("intel-rapl:0", 6'000'000);
  joules(cpu, second);
  tree.set("intel-rapl:0", 1'000'000);
  BOOST_CHECK(contains(reason(cpu, 2 * second), "went backwards"));
}

BOOST_AUTO_TEST_CASE(a_package_that_disappears_ends_the_sum) {
  Tree tree;
  tree.server();
  PowercapSensor cpu(tree.name(), EnergySource::cpu);
  joules(cpu, 0);
  fs::remove_all(tree.path / "intel-rapl:1");
  BOOST_CHECK(contains(reason(cpu, second), "intel-rapl:1/energy_uj"));
  tree.zone("intel-rapl:1", "package-1", 1'000'000);
  BOOST_CHECK(contains(reason(cpu, 2 * second), "intel-rapl:1/energy_uj"));
}

BOOST_AUTO_TEST_CASE(a_counter_that_is_no_number_is_a_reason) {
  for (const std::string text : {"", "many", "-5", "12 apples", "99999999999999999999999"}) {
    Tree tree;
    tree.zone("intel-rapl:0", "package-0", 1);
    tree.write("intel-rapl:0/energy_uj", text);
    PowercapSensor cpu(tree.name(), EnergySource::cpu);
    BOOST_CHECK(contains(reason(cpu), "not a number"));
  }
}

BOOST_AUTO_TEST_CASE(a_host_has_all_three_sources) {
  Tree tree;
  tree.zone("intel-rapl:0", "package-0", 1);
  const auto sensors = host_sensors(tree.name(), {});
  BOOST_REQUIRE_EQUAL(sensors.size(), energy_sources);
  for (std::size_t i = 0; i < energy_sources; ++i) BOOST_CHECK(static_cast<std::size_t>(sensors[i]->source()) == i);
  BOOST_CHECK_EQUAL(sensors[0]->read(0).reason, "no GPU used");
  BOOST_CHECK(sensors[1]->read(0).joules);
  BOOST_CHECK(!sensors[2]->read(0).joules);
}

BOOST_AUTO_TEST_SUITE_END()
