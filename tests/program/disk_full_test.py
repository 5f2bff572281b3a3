"""A disk that fills up, and a limit of file sizes: a clear message and code 1 within a stated time, the older
checkpoint whole, and the same bits once there is room."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile

import program
from program import ProgramTest, needs_mpirun, newest_files, rows, steps_written

STEPS = 240
# From the first failed write to the end of the process.
GIVE_UP = 60 * program.SLOWNESS


class DiskFullTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="blocktrain-disk-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        whole = program.Experiment(folder, "whole", budget__steps=STEPS)
        result = whole.train("--quiet")
        assert result.code == 0, result
        cls.bits = newest_files(whole.run)
        cls.bytes = sum(path.stat().st_size for path in whole.run.rglob("*") if path.is_file())

    def small_disk(self, size):
        """A folder on a file system of `size` bytes of its own."""
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "blocktrain-test", str(disk)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("no small disk can be mounted: " + mounted.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=True)
        return disk

    def fill(self, disk, left):
        """Takes the disk's space but for about `left` bytes."""
        status = os.statvfs(disk)
        with open(disk / "ballast", "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(1, status.f_bavail * status.f_frsize - left))

    def check_failed(self, result, *words):
        self.assertCode(result, 1)
        said = [line for line in result.err.splitlines() if line.startswith("blocktrain: ")]
        self.assertTrue(any(any(word in line for word in words) for line in said), str(result))
        self.assertLessEqual(len(said), 2 * program.BLOCKS + 2, f"it repeats itself\n{result}")
        for noise in ("terminate called", "Assertion", "what():"):
            self.assertNotIn(noise, result.err)

    def check_older_stands(self, run_folder):
        """Every file that the manifest names is there, with the bytes that it had."""
        folder = run_folder / "checkpoints"
        manifest = json.loads((folder / "manifest.json").read_text())
        files = [file for block in manifest["blocks"] for file in block["files"]]
        self.assertTrue(files, "nothing was committed before the disk was full: the test proves nothing")
        for file in files:
            self.assertEqual(hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest(), file["sha256"])
        program.rows(run_folder / "ledger.jsonl")  # no torn line

    def check_resumes(self, tiny, *more):
        self.assertCode(tiny.train("--resume", *more), 0)
        self.assertEqual(newest_files(tiny.run), self.bits)
        self.assertEveryStepOnce(tiny.run, STEPS)

    def runs_full(self, left, **options):
        """Trains on a small disk on which only `left` bytes remain after the first checkpoints."""
        disk = self.small_disk(4 * self.bytes)
        tiny = self.experiment(budget__steps=STEPS, log__directory=str(disk / "run"))
        tiny.run = disk / "run"
        self.assertCode(tiny.train("--quiet", "--set", "budget.steps=20", **options), 0)
        self.fill(disk, left)
        with tiny.start("--resume", "--quiet", **options) as process:
            result = process.wait(GIVE_UP)
            self.assertTrue(process.wait_gone(GIVE_UP))
        self.check_failed(result, "No space left on device")
        self.check_older_stands(tiny.run)
        left = [path.name for path in tiny.run.rglob("*") if ".tmp" in path.name or path.name.endswith(".recovering")]
        self.assertEqual(left, [], "half files take the room that is missing")
        (disk / "ballast").unlink()
        return tiny

    def test_no_room_for_checkpoints(self):
        # Rows of the ledger fit, a block file of 190 KiB does not.
        self.check_resumes(self.runs_full(left=150_000))

    def test_no_room_for_anything(self):
        for left in (0, 20_000):
            with self.subTest(left=left):
                self.check_resumes(self.runs_full(left=left))
                self.doCleanups()
                self.setUp()

    @needs_mpirun
    def test_several_processes(self):
        self.check_resumes(self.runs_full(left=150_000, ranks=4))

    def test_a_limit_of_file_sizes(self):
        """The system ends a process that writes past the limit with a signal unless it is ready for it."""
        for limit in (100_000, 200_000):  # less than a block file; more than one, and less than the ledger
            for ranks in (1, 4):
                with self.subTest(limit=limit, ranks=ranks):
                    tiny = self.experiment(f"limit-{limit}-{ranks}", budget__steps=STEPS, parallel__ranks=ranks)
                    self.assertCode(tiny.train("--quiet", "--set", "budget.steps=20"), 0)
                    result = tiny.train("--resume", "--quiet", timeout=GIVE_UP, preexec=lambda limit=limit:
                                        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                    self.check_failed(result, "ulimit -f", "File too large")
                    self.check_older_stands(tiny.run)
                    self.check_resumes(tiny)

    def test_a_folder_that_vanishes(self):
        tiny = self.experiment(budget__steps=20000, checkpoint__every_steps=10)
        with tiny.start("--quiet") as process:
            self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > 40 * program.BLOCKS, process))
            tiny.run.rename(self.folder / "moved")
            self.check_failed(process.wait(GIVE_UP), "is gone", "No such file")
        self.check_older_stands(self.folder / "moved")


if __name__ == "__main__":
    program.main()
