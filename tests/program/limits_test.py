"""Limits of the system: threads, address space, CPUs, control groups. What is too little ends in a message that says what
to do; what is there is shared by the ranks."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import unittest

import program
from program import ProgramTest, needs_mpirun

MIB = 1 << 20
SANITIZED = os.environ.get("BLOCKTRAIN_SANITIZED", "") != ""  # they take address space and threads of their own
REFUSE_THREADS = os.environ.get("BLOCKTRAIN_REFUSE_THREADS", "")
GROUPS = pathlib.Path("/sys/fs/cgroup")


def without(*names):
    return {name: value for name, value in os.environ.items() if name not in names}


def threads_said(result):
    """(threads, reason) of a training's first line."""
    found = re.search(r", (\d+) compute threads? each \((.*)\)$", result.out, re.MULTILINE)
    assert found, result
    return int(found[1]), found[2]


class ThreadsTest(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_PROC_BIND", "OMP_PLACES"):
            if name in os.environ:
                self.addCleanup(os.environ.__setitem__, name, os.environ.pop(name))
        self.cpus = sorted(os.sched_getaffinity(0))
        self.tiny = self.experiment(budget__steps=2, parallel__threads=0)

    def train(self, *more, cpus=None, **options):
        shutil.rmtree(self.tiny.run, ignore_errors=True)
        preexec = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
        return threads_said(self.assertCode(self.tiny.train(*more, preexec=preexec, **options), 0))

    def test_ranks_share_the_cpus_that_all_may_use(self):
        two = self.cpus[:2]
        words = f"4 ranks share {len(two)} CPU" + ("s" if len(two) > 1 else "")
        self.assertEqual(self.train("--set", "parallel.ranks=4", cpus=two), (1, words))
        self.assertEqual(self.train(cpus=two)[0], len(two))
        self.assertEqual(self.train(cpus=two[:1]), (1, "1 CPU for this rank"))

    @needs_mpirun
    def test_unbound_ranks_of_a_job(self):
        two = self.cpus[:2]
        threads, reason = self.train(ranks=4, cpus=two)
        self.assertEqual(threads, 1)
        self.assertIn("4 ranks share", reason)

    def test_a_runtime_of_openmp_does_not_take_cpus_away(self):
        self.assertEqual(self.train(env={"OMP_PROC_BIND": "true"})[0], len(self.cpus))

    def test_the_config_wins_then_the_environment(self):
        self.assertEqual(self.train(env={"OMP_NUM_THREADS": "3"}), (3, "OMP_NUM_THREADS"))
        self.assertEqual(self.train("--set", "parallel.threads=2", env={"OMP_NUM_THREADS": "3"}), (2, "parallel.threads"))


@unittest.skipIf(SANITIZED, "the sanitizers take address space and threads of their own")
class RefusalTest(ProgramTest):
    def commands(self):
        """Every command, on a finished run."""
        tiny = self.experiment("done", budget__steps=2)
        self.assertCode(tiny.train("--quiet"), 0)
        fresh = self.experiment("fresh", budget__steps=2, parallel__threads=3, eval__every_steps=1)
        images = self.folder / "images.png"
        two = ("--set", "parallel.threads=2")
        return {
            "plan": ["plan", fresh.config], "doctor": ["doctor"],
            "train": ["train", fresh.config, "--quiet"],
            "train in threads": ["train", fresh.config, "--quiet", "--set", "parallel.ranks=2"],
            "eval": ["eval", tiny.run, *two, "--set", "eval.samples=20"],
            "generate": ["generate", tiny.run, "-n", "4", "-o", images, *two],
            "export": ["export", tiny.run, "-o", self.folder / "export"],
        }

    def check(self, result, what):
        """Done, or ended with words: never by a signal, an abort or without a reason."""
        self.assertIn(result.code, (0, 1, 2), f"{what}: {result}")
        self.assertNotIn("terminate called", result.err, what)
        self.assertNotIn("bad_alloc", result.err, what)
        if result.code:
            self.assertIn("blocktrain: ", result.err, f"{what}: {result}")

    @unittest.skipUnless(REFUSE_THREADS, "no library that refuses threads was built")
    def test_a_system_that_gives_no_more_threads(self):
        for name, command in self.commands().items():
            for first in range(1, 20):
                with self.subTest(command=name, refused_from=first):
                    shutil.rmtree(self.folder / "fresh", ignore_errors=True)
                    result = program.run(*command, env={"LD_PRELOAD": REFUSE_THREADS, "REFUSE_THREADS_FROM": str(first)})
                    self.check(result, name)
                    if result.code:
                        self.assertEqual(result.code, 1, str(result))
                        self.assertIn("gives no thread for", result.err)
                        self.assertIn("ulimit -u", result.err)
                if result.code == 0:
                    break
            else:
                self.fail(f"{name} never had threads enough")
            print(f"{name}: refused with up to {first - 1} threads")

    def test_little_address_space(self):
        for name, command in self.commands().items():
            codes = []
            for mib in range(100, 2000, 30):
                shutil.rmtree(self.folder / "fresh", ignore_errors=True)
                limit = (mib * MIB, mib * MIB)
                result = program.run(*command, preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
                if result.code == 127 and "shared librar" in result.err:  # the loader, before main()
                    continue
                with self.subTest(command=name, mib=mib):
                    self.check(result, name)
                    if result.code:
                        self.assertIn("ulimit -v", result.err, str(result))
                codes.append(result.code)
                if result.code == 0:
                    break
            self.assertEqual(codes[-1], 0, f"{name}: {codes}")
            print(f"{name}: enough with {mib} MiB; {codes}")


class ControlGroupTest(ProgramTest):
    """With groups of this machine, where they may be made; made-up trees are tested in run_limits."""

    def group(self, controller, files):
        """A group below the root of a version 1 hierarchy, with limits; skips where that cannot be."""
        folder = GROUPS / controller / f"blocktrain-test-{os.getpid()}"
        try:
            folder.mkdir()
            self.addCleanup(folder.rmdir)
            for name, value in files:
                (folder / name).write_text(value)
        except OSError as error:
            self.skipTest(f"no control group can be made here: {error}")
        return folder

    def inside(self, folder):
        return lambda: (folder / "cgroup.procs").write_text(str(os.getpid()))

    def finding(self, topic, **options):
        result = self.assertCode(program.run("doctor", "--json", **options), 0)
        return next(f["text"] for f in json.loads(result.out)["findings"] if f["topic"] == topic)

    def test_a_limit_of_memory(self):
        folder = self.group("memory", [("memory.limit_in_bytes", str(40 * MIB))])
        inside = self.inside(folder)
        self.assertIn("allows 40.00 MiB", self.finding("memory", preexec=inside))
        big = self.experiment(model__width=512, model__heads=8, budget__steps=2)
        result = self.assertCode(big.train(preexec=inside), 2)
        self.assertRegex(result.err, r"control group /blocktrain-test-\d+ \(40.0 MiB in all\) leaves ")
        self.assertFalse(big.run.exists())

    def test_a_quota(self):
        folder = self.group("cpu", [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")])
        inside = self.inside(folder)
        self.assertIn("allows 1 CPUs", self.finding("cpu", preexec=inside))
        tiny = self.experiment(budget__steps=2, parallel__threads=0)
        result = self.assertCode(tiny.train(preexec=inside, env={"OMP_NUM_THREADS": ""}), 0)
        threads, reason = threads_said(result)
        self.assertEqual(threads, 1)
        if len(os.sched_getaffinity(0)) > 1:
            self.assertRegex(reason, r"control group /blocktrain-test-\d+ allows 1 CPUs")


class LongSequenceTest(ProgramTest):
    def test_images_of_many_tokens_are_trained(self):
        """More tokens than one head's attention fits in a thread's scratch: it is cut."""
        side = 80  # 6400 tokens
        data = self.folder / "data"
        data.mkdir()
        for split, count in (("train", 4), ("t10k", 2)):
            head = lambda *sizes: b"".join(n.to_bytes(4, "big") for n in sizes)
            pixels = bytes(i * 7 % 256 for i in range(count * side * side))
            (data / f"{split}-images-idx3-ubyte").write_bytes(head(2051, count, side, side) + pixels)
            (data / f"{split}-labels-idx1-ubyte").write_bytes(head(2049, count) + bytes(i % 2 for i in range(count)))
        values = dict(data__path=str(data), data__batch=1, model__patch=1, model__width=64, model__heads=1,
                      model__layers=1, blocks__count=1, budget__steps=1)
        long = self.experiment(**values)
        self.assertCode(program.run("plan", long.config), 0)
        self.assertCode(long.train("--quiet"), 0)
        wide = self.experiment("wide", **dict(values, model__width=32768))
        for command in ("plan", "train"):
            result = self.assertCode(program.run(command, wide.config), 2)
            self.assertIn("29088", result.err)
            self.assertIn("model.heads", result.err)


if __name__ == "__main__":
    program.main()
