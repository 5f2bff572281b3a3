"""SIGKILL at any instant: the run resumes and ends with the bits of a run that nobody touched, and its ledger counts
every step once and every lost one too.

BLOCKTRAIN_KILLS (default 4) is the number of kills of the longest test, BLOCKTRAIN_KILL_SEED (default 1) their seed.
"""

import json
import os
import random
import shutil
import signal
import time
import unittest

import program
from program import Process, ProgramTest, needs_mpirun, newest_files, rows, steps_written

KILLS = int(os.environ.get("BLOCKTRAIN_KILLS", "4"))
SEED = int(os.environ.get("BLOCKTRAIN_KILL_SEED", "1"))
STEPS = 200
# A job that has lost a rank has to end within this time: Open MPI tells at once, parallel.timeout_seconds is the
# bound where nobody tells.
GIVE_UP = 30 * program.SLOWNESS


class KillTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = program.tempfile.mkdtemp(prefix="blocktrain-kill-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        whole = program.Experiment(folder, "whole", budget__steps=STEPS)
        result = whole.train("--quiet", ranks=program.BLOCKS if program.MPIRUN else 0)
        assert result.code == 0, result
        cls.bits = newest_files(whole.run)
        cls.losses = {(row["block"], row["step"]): row["loss"]
                      for row in rows(whole.run / "ledger.jsonl") if row["type"] == "step"}
        cls.seconds = result.seconds

    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")
        self.number = 0
        self.fresh()

    def fresh(self):
        self.number += 1
        self.tiny = self.experiment(f"run-{self.number}", budget__steps=STEPS, parallel__timeout_seconds=20)
        self.written = {}

    def wait_for_moment(self, process):
        """A random time, or an instant at which files are half made. False when the run ended before."""
        moment = self.random.choice(["time", "time", "aside", "row"])
        end = time.monotonic() + self.random.uniform(0.02, 0.8 * self.seconds + 0.1)
        rows_then = steps_written(self.tiny.run) + self.random.randrange(1, 4 * STEPS // 4)

        def reached():
            if time.monotonic() > end:
                return True
            if moment == "aside":
                folders = [self.tiny.run, self.tiny.run / "checkpoints"]
                return any(".tmp" in name or name.endswith(".recovering")
                           for folder in folders if folder.exists() for name in os.listdir(folder))
            return moment == "row" and steps_written(self.tiny.run) >= rows_then

        return program.wait_until(reached, process)

    def note_rows(self):
        """Remembers all step rows that the ledger holds after a kill; a torn last line is none."""
        path = self.tiny.run / "ledger.jsonl"
        if not path.exists():
            return
        for line in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if row["type"] == "step":
                self.written[self.key(row)] = row

    def check_finished(self):
        ledger = self.assertEveryStepOnce(self.tiny.run, STEPS)
        self.assertEqual(newest_files(self.tiny.run), self.bits)
        self.assertEqual({(row["block"], row["step"]): row["loss"] for row in ledger if row["type"] == "step"},
                         self.losses)
        # Whatever the ledger held at any kill is still there, in it or among the lost rows.
        lost = self.tiny.run / "ledger.lost.jsonl"
        everything = {self.key(row): row for row in ledger + (rows(lost) if lost.exists() else [])
                      if row["type"] == "step"}
        for key, row in self.written.items():
            self.assertEqual(everything.get(key), row)
        self.assertNoLeftovers()

    def assertNoLeftovers(self):
        leftovers = [path.name for path in self.tiny.run.rglob("*") if ".tmp" in path.name or "recover" in path.name
                     or path.name.startswith(".seen")]
        self.assertEqual(leftovers, [], "left behind after the run has finished")

    def kill_and_resume(self, kills, kill, values=(), **options):
        done = 0
        while done < kills:
            with self.tiny.start("--resume", "--quiet", *values, **options) as process:
                if self.wait_for_moment(process):
                    kill(process)
                    done += 1
                    self.note_rows()
                    continue
                self.assertCode(process.wait(), 0)
            self.check_finished()
            self.fresh()
        self.assertCode(self.tiny.train("--resume", *values, **options), 0)
        self.check_finished()

    @needs_mpirun
    def test_all_of_a_job(self):
        self.kill_and_resume(KILLS, Process.kill, ranks=program.BLOCKS)

    def test_ranks_in_one_process(self):
        self.kill_and_resume(max(1, KILLS // 2), Process.kill, values=["--set", f"parallel.ranks={program.BLOCKS}"])

    @needs_mpirun
    def test_one_rank_alone_ends_the_whole_job(self):
        def kill(process):
            # A rank that has not started yet cannot be killed.
            program.wait_until(lambda: len(process.ranks()) == program.BLOCKS, process, GIVE_UP)
            living = process.ranks()
            rank = self.random.choice(sorted(living) or [0])
            if rank in living:
                os.kill(living[rank], signal.SIGKILL)
            try:
                result = process.wait(GIVE_UP)
            except AssertionError as error:
                self.fail(f"rank {rank} was killed, and the job hangs: {error}")
            if rank in living:
                self.assertNotEqual(result.code, 0, f"rank {rank} was killed\n{result}")
            self.assertTrue(process.wait_gone(GIVE_UP), f"ranks outlive their job: {process.left()}")

        self.kill_and_resume(max(1, KILLS // 2), kill, ranks=program.BLOCKS)

    @needs_mpirun
    def test_the_launcher_alone_takes_its_ranks_with_it(self):
        def kill(process):
            os.kill(process.pid, signal.SIGKILL)
            self.assertTrue(process.wait_gone(GIVE_UP), f"ranks outlive their launcher: {process.left()}")

        self.kill_and_resume(1, kill, ranks=program.BLOCKS)

    @needs_mpirun
    def test_terminating_the_launcher_loses_nothing(self):
        """mpirun kills its ranks about a second after SIGTERM: they may have saved by then or not."""
        def kill(process):
            process.terminate()
            self.assertTrue(process.wait_gone(GIVE_UP), f"the job hangs after SIGTERM: {process.left()}")

        self.kill_and_resume(1, kill, ranks=program.BLOCKS)

    def test_torn_ends_are_cut(self):
        """What a crash of the machine leaves behind, for a killed process seldom tears a line."""
        with self.tiny.start("--quiet") as process:
            self.assertTrue(program.wait_until(lambda: steps_written(self.tiny.run) > 100, process))
            process.kill()
        self.note_rows()
        with open(self.tiny.run / "ledger.jsonl", "ab") as ledger:
            ledger.write(b'{"type":"step","block":0,"step":19')
        with open(self.tiny.run / "ledger.lost.jsonl", "ab") as lost:
            lost.write(b'{"type":"step","block":2,"step":3,"never committed":true}\n{"type":"st')
        (self.tiny.run / "ledger.jsonl.recovering").write_bytes(b'{"type":"run_start"')
        (self.tiny.run / "checkpoints" / ".block-0001.step-00000040.h5.tmp-0").write_bytes(b"\x89HDF half a file")
        (self.tiny.run / "checkpoints" / ".manifest.json.tmp-0").write_bytes(b'{"format": "blockt')
        result = self.assertCode(self.tiny.train("--resume"), 0)
        self.assertIn("torn end of 34 bytes was cut", result.out)
        self.check_finished()

    def test_killed_while_the_folder_is_made(self):
        """Every state that the making of a RUN folder passes through can be resumed from."""
        self.assertCode(self.tiny.train("--quiet", "--set", "budget.steps=20"), 0)
        whole = self.tiny.run.rename(self.folder / "made")
        half_made = [
            [], ["lock"], ["lock", "checkpoints"], ["lock", "checkpoints", ".data.json.tmp-0"],
            ["lock", "checkpoints", "data.json"], ["lock", "checkpoints", "data.json", ".config.yaml.tmp-0"],
            ["lock", "checkpoints", "data.json", "config.yaml"],
            ["lock", "checkpoints", "data.json", "config.yaml", ".seen-by-all-1234"],
        ]
        for names in half_made:
            with self.subTest(there=names):
                shutil.rmtree(self.tiny.run, ignore_errors=True)
                self.tiny.run.mkdir()
                for name in names:
                    if name == "checkpoints":
                        (self.tiny.run / name).mkdir()
                    elif name.startswith("."):
                        (self.tiny.run / name).write_text("half a")
                    else:
                        shutil.copy(whole / name, self.tiny.run / name)
                self.assertCode(self.tiny.train("--resume", "--quiet", "--set", "budget.steps=20"), 0)
                self.assertEqual(newest_files(self.tiny.run), newest_files(whole))
                self.assertEveryStepOnce(self.tiny.run, 20)
                self.assertNoLeftovers()


if __name__ == "__main__":
    program.main()
