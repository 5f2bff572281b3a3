"""Ranks that fall silent: one that is lost is given up and nobody waits for it, on one host and on several. Ranks that
were suspended together go on together.

The test of a cut link makes hosts of its own, network namespaces on a bridge: it needs root and the command ip.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import program
from program import INTERRUPTED, Process, ProgramTest, needs_mpirun, newest_files, rows, steps_written

TIMEOUT = 4  # seconds: parallel.timeout_seconds
ENDLESS = {"budget__steps": 10_000_000, "checkpoint__every_steps": 1000, "parallel__timeout_seconds": TIMEOUT}


class SilenceTest(ProgramTest):
    def wait_for_steps(self, tiny, process, more=20):
        goal = steps_written(tiny.run) + more
        self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > goal, process), "it ended too early")

    def assertLost(self, tiny, lost, result):
        """The run has ended as one that lost the ranks `lost` does, and can be resumed."""
        self.assertCode(result, 1)
        ledger = rows(tiny.run / "ledger.jsonl")
        self.assertEqual((ledger[-1]["type"], ledger[-1]["status"]), ("run_end", "failed"), str(result))
        failed = [row for row in ledger if row["type"] == "failed"]
        self.assertTrue(failed, "no row says what was lost")
        self.assertLessEqual({row["rank"] for row in failed}, set(lost))
        for row in failed:
            self.assertIn("was not heard", row["reason"])
            self.assertIn("--resume", row["reason"])
        steps = {b: sum(row["type"] == "step" and row["block"] == b for row in ledger) for b in range(program.BLOCKS)}
        for row in failed:  # of a step that not all replicas have told of there is no row
            self.assertGreaterEqual(row["step"], steps[row["block"]])
        # The others saved before they left.
        unharmed = set(steps) - {row["block"] for row in failed}
        manifest = json.loads((tiny.run / "checkpoints" / "manifest.json").read_text())
        saved = {block["block"]: block["files"][0]["step"] for block in manifest["blocks"] if block["files"]}
        for block in unharmed:
            self.assertEqual(saved[block], steps[block], str(result))
        end = max(steps.values()) + 5
        self.assertCode(tiny.train("--resume", "--quiet", "--set", f"budget.steps={end}"), 0)
        self.assertEveryStepOnce(tiny.run, end)
        return unharmed


@needs_mpirun
class StoppedRankTest(SilenceTest):
    def stop(self, ranks, victim):
        """Stops rank `victim` of `ranks` for good; the experiment, and the Result once no process is left."""
        tiny = self.experiment(f"{ranks}-ranks", **ENDLESS)
        with tiny.start(ranks=ranks) as process:  # which kills them all at its end
            self.wait_for_steps(tiny, process)
            os.kill(process.ranks()[victim], signal.SIGSTOP)
            result = process.wait()
            self.assertTrue(process.wait_gone(30 * program.SLOWNESS), "processes are left over")
        return tiny, result

    def test_one_of_three(self):
        tiny, result = self.stop(3, 2)
        self.assertTrue(self.assertLost(tiny, [2], result))

    def test_a_replica_of_eight(self):
        # The other replica of its block may find out first: then the run ends by that one's error.
        tiny, result = self.stop(8, 5)
        unharmed = self.assertLost(tiny, [5], result)
        self.assertEqual(len(unharmed), program.BLOCKS - 1)

    def test_the_coordinator(self):
        tiny, result = self.stop(3, 0)
        self.assertCode(result, 1)
        self.assertIn("nothing was heard from the coordinator (rank 0)", result.err)
        self.assertCode(tiny.train("--resume", "--quiet", "--set", "budget.steps=5"), 0)
        self.assertTrue(newest_files(tiny.run))


class SuspendedTest(SilenceTest):
    def suspend(self, tiny, process, pids):
        """Suspends all of `pids` for longer than the timeout, then has the run save: nobody was lost."""
        self.wait_for_steps(tiny, process)
        for pid in pids():
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5 * TIMEOUT)
        for pid in pids():
            os.kill(pid, signal.SIGCONT)
        self.wait_for_steps(tiny, process, 200)
        os.kill(process.pid, signal.SIGUSR1)
        self.assertCode(process.wait(), INTERRUPTED)

    def test_a_process(self):
        tiny = self.experiment(**ENDLESS)
        with tiny.start("--set", "parallel.ranks=4") as process:
            self.suspend(tiny, process, lambda: [process.pid])

    @needs_mpirun
    def test_all_ranks_under_mpirun(self):
        for ranks in (3, 6):
            with self.subTest(ranks=ranks):
                tiny = self.experiment(f"{ranks}-ranks", **ENDLESS)
                with tiny.start(ranks=ranks) as process:
                    self.suspend(tiny, process, lambda: process.ranks().values())


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def why_no_hosts():
    """Why this machine cannot pretend to be several; empty when it can."""
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    for tool in ("ip", "unshare"):
        if shutil.which(tool) is None:
            return f"no command {tool}"
    name = f"bt{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
        run("ip", "netns", "del", name)
        run("unshare", "--uts", "true")
        run("ip", "link", "add", name, "type", "bridge")
        run("ip", "link", "del", name)
    except subprocess.CalledProcessError as error:
        return f"'{' '.join(error.cmd)}' is refused here: {error.stderr.strip()}"
    return ""


class Hosts:
    """Hosts on this machine: network namespaces on a bridge, with a name of their own each, and an agent that starts a
    command on one, as ssh would."""

    def __init__(self, folder, count):
        self.prefix = f"bt{os.getpid()}"
        self.addresses = [f"10.213.77.{i + 1}" for i in range(count)]
        self.agent = pathlib.Path(folder) / "agent.sh"
        self.names = []
        run("ip", "link", "add", self.prefix, "type", "bridge")
        run("ip", "link", "set", self.prefix, "up")
        for i, address in enumerate(self.addresses):
            name, link = f"{self.prefix}h{i}", self.link(i)
            run("ip", "netns", "add", name)
            self.names.append(name)
            run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", link, "master", self.prefix, "up")
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        cases = "".join(f"  {a}) host={n} ;;\n" for a, n in zip(self.addresses, self.names))
        self.agent.write_text(f'#!/bin/sh\ncase $1 in\n{cases}esac\nshift\n'
                              'exec ip netns exec "$host" unshare --uts '
                              'sh -c "echo $host >/proc/sys/kernel/hostname; $*"\n')
        self.agent.chmod(0o755)

    def link(self, i):
        return f"{self.prefix}v{i}"

    def inside(self, i):
        """What a command is prefixed with to run on host `i`."""
        name = self.names[i]
        return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c",
                f'echo {name} >/proc/sys/kernel/hostname; exec "$@"', "sh"]

    def cut(self, i):
        run("ip", "link", "set", self.link(i), "down")

    def processes(self, i):
        """{pid: command} on host `i`."""
        found = {}
        for pid in run("ip", "netns", "pids", self.names[i]).split():
            try:
                found[int(pid)] = pathlib.Path("/proc", pid, "comm").read_text().strip()
            except OSError:  # it has just ended
                pass
        return found

    def remove(self):
        for i, name in enumerate(self.names):
            for pid in self.processes(i):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            run("ip", "netns", "del", name)
        run("ip", "link", "del", self.prefix)


@needs_mpirun
class CutLinkTest(SilenceTest):
    def setUp(self):
        super().setUp()
        why = why_no_hosts()
        if why:
            self.skipTest(why)
        self.hosts = Hosts(self.folder, 2)
        self.addCleanup(self.hosts.remove)

    def wait_until(self, condition):
        end = time.monotonic() + program.PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end, f"left over: {[self.hosts.processes(i) for i in (0, 1)]}")
            time.sleep(0.1)

    def test_the_other_host_is_given_up(self):
        tiny = self.experiment(**ENDLESS)
        options = ["--mca", "plm_rsh_agent", str(self.hosts.agent), "--host",
                   ",".join(f"{address}:2" for address in self.hosts.addresses), "--map-by", "ppr:2:node"]
        with Process("train", tiny.config, ranks=4, forward=options, inside=self.hosts.inside(0)) as process:
            self.wait_for_steps(tiny, process)
            self.hosts.cut(1)
            result = process.wait()
        self.wait_until(lambda: not self.hosts.processes(0))
        # Behind the cut they find out by themselves. What is left of mpirun there hears nothing of it.
        self.wait_until(lambda: "blocktrain" not in self.hosts.processes(1).values())
        self.assertLost(tiny, [2, 3], result)


if __name__ == "__main__":
    program.main()
