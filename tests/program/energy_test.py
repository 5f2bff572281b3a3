"""Energy from a made-up powercap tree whose counters move while the run trains: what the rows say was measured, what is
a share, and that nothing that was not measured is 0."""

import os
import pathlib
import shutil
import subprocess
import threading
import time

import program
from program import ProgramTest

# Microjoules per second of the made-up counters, and their range: package 0 wraps at once, and every 0.4 s.
ZONES = {
    "intel-rapl:0": ("package-0", 50_000_000, 20_000_000),
    "intel-rapl:0:0": ("core", 30_000_000, 262_143_328_850),
    "intel-rapl:0:1": ("dram", 8_000_000, 262_143_328_850),
    "intel-rapl:1": ("package-1", 70_000_000, 262_143_328_850),
    "intel-rapl:1:0": ("dram", 12_000_000, 262_143_328_850),
    "intel-rapl:2": ("psys", 900_000_000, 262_143_328_850),
}
PRICE = 0.36
# Microjoules that every counter is short of its range at the start.
BEFORE_WRAP = 1_000_000
# What the measured joules of a session are made of.
PARTS = ("attributed", "evaluation", "checkpoint", "idle", "unattributed")


class Tree:
    """The tree, and a thread that moves its counters. `given` sums what each zone has counted."""

    def __init__(self, root, without=()):
        self.root = root
        self.zones = {name: zone for name, zone in ZONES.items() if name not in without}
        self.given = dict.fromkeys(self.zones, 0)
        # Started high, so that the first package wraps at once.
        self.value = {name: zone[2] - BEFORE_WRAP for name, zone in self.zones.items()}
        for name, (title, _, most) in self.zones.items():
            folder = root / name.rsplit(":", 1)[0] / name if name.count(":") == 2 else root / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "name").write_text(title + "\n")
            (folder / "max_energy_range_uj").write_text(f"{most}\n")
        (root / "intel-rapl-mmio:0").mkdir()
        (root / "intel-rapl-mmio:0" / "name").write_text("package-0\n")
        self.stop = threading.Event()
        self.write()
        self.thread = threading.Thread(target=self.advance, daemon=True)

    def counter(self, name):
        folder = self.root / name.rsplit(":", 1)[0] / name if name.count(":") == 2 else self.root / name
        return folder / "energy_uj"

    def write(self):
        for name in self.zones:
            aside = self.root / f"aside-{name}"
            aside.write_text(f"{self.value[name]}\n")
            os.replace(aside, self.counter(name))  # as the kernel: never half a number

    def advance(self):
        last = time.monotonic()
        while not self.stop.wait(0.01):
            now = time.monotonic()
            for name, (_, rate, most) in self.zones.items():
                # At most a quarter of the range at a time, however long this thread had to wait for its turn.
                add = min(int(rate * (now - last)), most // 4)
                self.given[name] += add
                self.value[name] = (self.value[name] + add) % most
            last = now
            self.write()

    def joules(self, *names):
        return sum(self.given[name] for name in names) * 1e-6

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class EnergyTest(ProgramTest):
    def train(self, root, *more, ranks=0):
        tiny = self.experiment(budget__steps=150)
        self.assertCode(tiny.train("--set", f"energy.powercap_root={root}", "--set", "energy.sample_seconds=0.05",
                                   "--set", f"energy.price_usd_per_kwh={PRICE}", *more, ranks=ranks), 0)
        self.run_folder = tiny.run
        return self.assertEveryStepOnce(tiny.run, 150)

    def only(self, ledger, kind):
        return [row for row in ledger if row["type"] == kind]

    def check_measured(self, ledger, source, expected_at_most):
        """Energy rows sum to what the run says it measured, and shares and the idle rest sum to it too."""
        end = ledger[-1]
        measured = sum(row["joules"] for row in self.only(ledger, "energy") if row["source"] == source)
        self.assertGreater(measured, 0)
        self.assertLessEqual(measured, expected_at_most * (1 + 1e-9))
        tolerance = 1e-6 * measured
        self.assertAlmostEqual(end["joules"]["measured"][source], measured, delta=tolerance)
        shares = sum(row["joules"][source] for row in self.only(ledger, "step"))
        self.assertAlmostEqual(end["joules"]["attributed"][source], shares, delta=tolerance)
        parts = sum(end["joules"][name][source] for name in PARTS)
        self.assertAlmostEqual(parts, measured, delta=tolerance)
        # Training kept the machine busy: what no step had a share of is not the bulk.
        self.assertGreater(shares, 0)
        for row in program.whole_steps(ledger):
            self.assertIs(row["joules_estimated"], True)
            self.assertIsNone(row["joules_reason"][source])
            self.assertGreaterEqual(row["joules"][source], 0)
        for row in self.only(ledger, "energy"):  # nobody watched these counters to learn when they move
            self.assertIsNone(row["update_seconds"])
            self.assertIsNone(row["error_joules"])
        times = [(row["begin_ns"], row["end_ns"]) for row in self.only(ledger, "energy") if row["source"] == source]
        self.assertTrue(all(begin < end for begin, end in times))
        self.assertTrue(all(a[1] == b[0] for a, b in zip(times, times[1:])), "a gap or an overlap between energy rows")
        return measured

    def check_missing(self, ledger, source, reason):
        end = ledger[-1]
        for part in end["joules"].values():
            self.assertIsNone(part[source])
        for row in program.whole_steps(ledger):
            self.assertIsNone(row["joules"][source])
            self.assertIn(reason, row["joules_reason"][source])
        said = [row for row in self.only(ledger, "sensor") if row["source"] == source]
        self.assertTrue(said and not said[-1]["available"])
        self.assertIn(reason, said[-1]["reason"])
        self.assertFalse([row for row in self.only(ledger, "energy") if row["source"] == source])

    def check_whole(self, ledger, tree):
        cpu = self.check_measured(ledger, "cpu", tree.joules("intel-rapl:0", "intel-rapl:1"))
        dram = self.check_measured(ledger, "dram", tree.joules("intel-rapl:0:1", "intel-rapl:1:0"))
        self.check_missing(ledger, "gpu", "no GPU")
        self.assertAlmostEqual(ledger[-1]["dollars"], (cpu + dram) / 3.6e6 * PRICE, delta=1e-9)
        # Two packages and nothing that is inside or around them: the rates say which zones were added.
        self.assertAlmostEqual(cpu / dram, (50 + 70) / (8 + 12), delta=1.0)

    def test_two_packages_that_wrap(self):
        with Tree(self.folder / "powercap") as tree:
            ledger = self.train(tree.root, "--set", "parallel.ranks=4")
        self.assertGreater(tree.given["intel-rapl:0"], BEFORE_WRAP, "it never wrapped")
        self.check_whole(ledger, tree)

    @program.needs_mpirun
    def test_ranks_of_one_machine_count_its_joules_once(self):
        with Tree(self.folder / "powercap") as tree:
            ledger = self.train(tree.root, ranks=4)
        self.check_whole(ledger, tree)

    def test_evaluations_and_checkpoints_are_booked_apart(self):
        with Tree(self.folder / "powercap") as tree:
            ledger = self.train(tree.root, "--set", "eval.every_steps=5", "--set", "checkpoint.every_steps=10",
                                "--set", "parallel.ranks=4")
        measured = self.check_measured(ledger, "cpu", tree.joules("intel-rapl:0", "intel-rapl:1"))
        parts = {name: ledger[-1]["joules"][name]["cpu"] for name in PARTS}
        for name in ("attributed", "evaluation", "checkpoint"):
            self.assertGreater(parts[name], 0, name)
        self.assertAlmostEqual(sum(parts.values()), measured, delta=1e-6 * measured)

    def test_a_package_without_dram(self):
        with Tree(self.folder / "powercap", without=["intel-rapl:1:0"]) as tree:
            ledger = self.train(tree.root)
        cpu = self.check_measured(ledger, "cpu", tree.joules("intel-rapl:0", "intel-rapl:1"))
        self.check_missing(ledger, "dram", "dram zones in only 1 of 2 packages")
        self.assertAlmostEqual(ledger[-1]["dollars"], cpu / 3.6e6 * PRICE, delta=1e-9)

    def test_no_sensor(self):
        ledger = self.train(self.folder / "nothing")
        for source in ("cpu", "dram"):
            self.check_missing(ledger, source, "no powercap")
        self.assertIsNone(ledger[-1]["dollars"])
        self.assertIn("no energy was measured", ledger[-1]["dollars_reason"])
        self.assertTrue(all(row["joules_estimated"] is False for row in self.only(ledger, "change")))

    def as_nobody(self, experiment):
        """Options of Experiment.train for a user who may not read what root may. The program and the data are copied: that
        user need not be able to enter the folder of the repository, which may lie below a private home."""
        def nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        self.folder.chmod(0o777)
        binary = pathlib.Path(shutil.copy(program.BINARY, self.folder))
        data = pathlib.Path(shutil.copytree(program.DIGITS, self.folder / "digits"))
        for path in (binary, data, *data.iterdir()):
            path.chmod(path.stat().st_mode | (0o644 if path.parent == data else 0o755))
        experiment.set(data__path=str(data))
        options = {"preexec": nobody, "cwd": self.folder, "binary": binary}
        if subprocess.run(["test", "-x", binary], preexec_fn=nobody, cwd="/").returncode != 0:
            self.skipTest(f"other users cannot enter {self.folder.parent}, where temporary files go: see TMPDIR")
        return options

    def test_no_permission(self):
        options = {}
        with Tree(self.folder / "powercap") as tree:
            for name in ("intel-rapl:0", "intel-rapl:1"):
                tree.counter(name).unlink()
            tree.stop.set()
            for name in ("intel-rapl:0", "intel-rapl:1"):
                tree.counter(name).write_text("1")
                tree.counter(name).chmod(0)
            tiny = self.experiment(budget__steps=8)
            if os.geteuid() == 0:
                options = self.as_nobody(tiny)
            self.assertCode(tiny.train("--set", f"energy.powercap_root={tree.root}", **options), 0)
        ledger = program.rows(tiny.run / "ledger.jsonl")
        self.check_missing(ledger, "cpu", "no permission to read")

    def test_a_sensor_that_stops(self):
        """What was measured before stays; steps behind have none, and the run goes on."""
        with Tree(self.folder / "powercap") as tree:
            tiny = self.experiment(budget__steps=4000, energy__powercap_root=str(tree.root),
                                   energy__sample_seconds=0.05)
            with tiny.start("--quiet") as process:
                self.assertTrue(program.wait_until(lambda: program.rows_written(tiny.run, "energy") > 4, process))
                tree.stop.set()
                tree.thread.join()
                tree.counter("intel-rapl:1").unlink()
                time.sleep(0.5)
                os.kill(process.pid, program.signal.SIGTERM)
                self.assertCode(process.wait(), program.INTERRUPTED)
        ledger = program.rows(tiny.run / "ledger.jsonl")
        steps = program.whole_steps(ledger)
        gone = [row for row in steps if row["joules"]["cpu"] is None]
        self.assertTrue(gone and len(gone) < len(steps), f"{len(gone)} of {len(steps)} steps without joules")
        for row in gone:
            self.assertIn("energy_uj", row["joules_reason"]["cpu"])
        self.assertFalse([row for row in self.only(ledger, "sensor") if row["source"] == "cpu"][-1]["available"])
        measured = sum(row["joules"] for row in self.only(ledger, "energy") if row["source"] == "cpu")
        parts = ledger[-1]["joules"]
        self.assertAlmostEqual(parts["measured"]["cpu"], measured, delta=1e-6 * measured)
        self.assertAlmostEqual(sum(parts[name]["cpu"] for name in PARTS), measured, delta=1e-6 * measured)


if __name__ == "__main__":
    program.main()
