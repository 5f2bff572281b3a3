"""Shared by the tests of the program as a process: small experiments, processes that cannot outlive a test, and what
a RUN folder has to hold.

Environment (set by ctest): BLOCKTRAIN, the binary; BLOCKTRAIN_TEST_SOURCE_DIR, the source tree; BLOCKTRAIN_MPIRUN, the
launcher, empty in a build without MPI. A script ends with 77 when all of its tests were skipped.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("BLOCKTRAIN_TEST_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BINARY = os.environ.get("BLOCKTRAIN", "")
MPIRUN = os.environ.get("BLOCKTRAIN_MPIRUN", shutil.which("mpirun") or "")
DIGITS = SOURCE / "tests" / "fixtures" / "digits"
BLOCKS = 4
INTERRUPTED = 75
# Time limits are for a machine that does little else; on one that is swamped, BLOCKTRAIN_TEST_SLOWNESS multiplies them.
SLOWNESS = float(os.environ.get("BLOCKTRAIN_TEST_SLOWNESS", "1"))
# No test waits longer for anything: far above what an idle machine needs, far below a hang in CI.
PATIENCE = 120 * SLOWNESS

needs_mpirun = unittest.skipUnless(MPIRUN and shutil.which(MPIRUN), "no mpirun: built without MPI")


class Experiment:
    """A tiny experiment in a folder of its own: 4 layers of width 16 in 4 blocks on the committed digits."""

    def __init__(self, folder, name="run", **values):
        self.folder = pathlib.Path(folder)
        self.run = self.folder / name
        self.config = self.folder / f"{name}.yaml"
        # A hard-wired decay, so that runs with other budgets are the same experiment.
        defaults = {
            "log.directory": str(self.run), "data.path": str(DIGITS), "data.batch": 24,
            "model.layers": 4, "model.width": 16, "model.heads": 2, "model.patch": 2, "blocks.count": BLOCKS,
            "optimizer.learning_rate": 1e-3, "optimizer.warmup_steps": 2, "optimizer.decay_steps": 600,
            "optimizer.average_decay": 0.9, "budget.steps": 200, "checkpoint.every_steps": 20, "checkpoint.keep": 2,
            "parallel.threads": 1, "parallel.steps_per_visit": 4, "parallel.timeout_seconds": 60,
        }
        self.values = defaults
        self.set(**values)

    def set(self, **values):
        """Changes keys of the config, e.g. data__batch=8."""
        self.values.update({key.replace("__", "."): value for key, value in values.items()})
        sections = {}
        for key, value in self.values.items():
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = value
        # JSON is YAML.
        self.config.write_text("".join(f"{name}: {json.dumps(keys)}\n" for name, keys in sections.items()))

    def train(self, *more, **options):
        return run("train", self.config, *more, **options)

    def start(self, *more, **options):
        return Process("train", self.config, *more, **options)


def own_words(text):
    """Without what Open MPI's own parts say, "[host][[1234,1],0][file:line:function] Unable to ...", whose lines ranks tear
    apart."""
    theirs = re.compile(r"\[[^\]]*\]\[\[\d+,\d+\],\d+\]\[|Unable to find reachable pairing between")
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() and not theirs.search(line))


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def launcher_crashed(self):
        """mpirun itself died, not a rank (that would be 128 + 11): Open MPI 4.1 now and then does, in PMIx_Finalize,
        when a job ends with a code that is not 0. The code of the job is lost then, all else is as it should be."""
        return self.code == -signal.SIGSEGV and "PMIx_Finalize" in self.err

    def __str__(self):
        return f"exit code {self.code} after {self.seconds:.1f} s\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Process:
    """blocktrain, or mpirun with `ranks` of it, in a session of its own. Nothing of it outlives `with`."""

    def __init__(self, *arguments, ranks=0, env=None, preexec=None, cwd=None, forward=(), inside=(), binary=BINARY):
        command = [str(binary), *map(str, arguments)]
        if ranks:
            command = [MPIRUN, "-np", str(ranks), "--oversubscribe", "--bind-to", "none", *forward, *command]
        command = [*inside, *command]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                           OMPI_MCA_mpi_yield_when_idle="1", **(env or {}))
        if ranks:  # MPI libraries keep memory to the end
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        # Files, not pipes: nobody has to read them while the process runs.
        self.ranked = bool(ranks)
        self.terminated = False
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.err, stdin=subprocess.DEVNULL,
                                        env=environment, cwd=cwd, preexec_fn=preexec, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.wait()
        self.out.close()
        self.err.close()

    @property
    def pid(self):
        return self.process.pid

    def members(self):
        """{pid: environment's rank or None} of the living processes of the session. mpirun gives every rank a process
        group of its own, but all of them stay in the session."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text()
                state, _, _, session = stat[stat.rindex(")") + 2:].split()[:4]
                if int(session) != self.pid or state in "ZX":
                    continue
                variables = pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0")
            except (OSError, ValueError):  # it has just ended
                continue
            rank = [v.split(b"=")[1] for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
            found[int(entry)] = int(rank[0]) if rank else None
        return found

    def ranks(self):
        """{rank: pid} of the ranks under mpirun."""
        return {rank: pid for pid, rank in self.members().items() if rank is not None}

    def kill(self):
        """SIGKILL to everybody at once, until nobody is left."""
        end = time.monotonic() + PATIENCE
        while (living := self.members()) and time.monotonic() < end:
            for pid in living:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.002)
        assert not living, f"processes outlive SIGKILL: {living}"

    def wait_gone(self, seconds):
        """Waits until no process of the session is left; returns whether that happened."""
        end = time.monotonic() + seconds
        while self.process.poll() is None or self.members():
            if time.monotonic() > end:
                if not self.launcher_hangs():
                    return False
                self.kill()
                self.process.wait()
            time.sleep(0.02)
        return True

    def terminate(self):
        """SIGTERM to the program, or to mpirun, which then ends its ranks."""
        self.terminated = True
        os.kill(self.pid, signal.SIGTERM)

    def launcher_hangs(self):
        """mpirun was told to end, or has said how its job ended, and is all that is left of it: Open MPI 4.1 now and then
        waits for ever for a lock of its own, in PMIx_server_finalize, when ranks end while they start on a busy machine."""
        said = self.result(None).err
        return (self.members() == {self.pid: None} and self.ranked
                and (self.terminated or "exited on signal" in said or "the job has been aborted" in said))

    def left(self):
        """What lives of it, and what it has said, for a message."""
        return f"pids and ranks {self.members()} of launcher {self.pid}\n{self.result(None)}"

    def wait(self, seconds=PATIENCE):
        """The Result; AssertionError when it does not end in time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            if self.launcher_hangs():
                self.kill()
                return self.result(self.process.wait())
            self.kill()
            raise AssertionError(f"it did not end within {seconds} s: {self.process.args}\n{self.result(None)}")
        return self.result(code)

    def result(self, code):
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Result(code, texts[0], texts[1], time.monotonic() - self.began)


def run(*arguments, timeout=PATIENCE, **options):
    with Process(*arguments, **options) as process:
        return process.wait(timeout)


def wait_until(condition, process, seconds=PATIENCE):
    """Waits for `condition()` while `process` runs; False when the process ended first."""
    end = time.monotonic() + seconds
    while not condition():
        if process.process.poll() is not None:
            return False
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain\n{process.result(None)}")
        time.sleep(0.002)
    return True


def rows_written(run_folder, kind):
    """How many whole rows of a type there are in a ledger that may be written at this moment."""
    try:
        text = (pathlib.Path(run_folder) / "ledger.jsonl").read_bytes()
    except FileNotFoundError:
        return 0
    return text[:text.rfind(b"\n") + 1].count(b'{"type":"%s"' % kind.encode())


def steps_written(run_folder):
    return rows_written(run_folder, "step")


def rows(path, growing=False):
    """Rows of a JSON Lines file, each strict JSON and ended by a newline. Of one that is `growing`, a program may be
    writing a row at this moment: those that are whole, none where there is no file yet."""
    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    if growing and not pathlib.Path(path).exists():
        return []
    text = pathlib.Path(path).read_bytes()
    if growing:
        text = text[:text.rfind(b"\n") + 1]
    assert not text or text.endswith(b"\n"), f"{path} ends in a torn line"
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


# No step row may be as long as this, with a step number, a block number and counters as long runs have them.
LONGEST_STEP_ROW = 300


def length_in_a_long_run(row):
    """Bytes that the line of a step row would have with a block of 3, a step of 9 and bytes sent of 7 digits."""
    long = dict(row, block=999, step=10**9 - 1, bytes_sent={name: 9_999_999 for name in row["bytes_sent"]})
    return max(len(json.dumps(r, separators=(",", ":"))) + 1 for r in (row, long))


def whole_steps(ledger):
    """Step rows with what their change rows say (docs/ledger.md). Rows of 1.x are whole."""
    changes, whole = {}, []
    for row in ledger:
        if row["type"] == "run_start":
            changes = {}
        elif row["type"] == "change":
            changes[row["block"]] = row
        elif row["type"] == "step" and "mse" in row:
            whole.append(row)
        elif row["type"] == "step":
            change = changes[row["block"]]
            assert set(row) & set(change) == {"type", "block", "step", "time", "bytes_sent"}, (row, change)
            assert change["step"] <= row["step"], (row, change)
            assert length_in_a_long_run(row) < LONGEST_STEP_ROW, row
            for source, joules in row["joules"].items():
                assert (joules is None) == (change["joules_reason"][source] is not None), (row, change)
            whole.append({**change, **row, "bytes_sent": {**change["bytes_sent"], **row["bytes_sent"]}})
    return whole


def newest_files(run_folder):
    """{block: (step, SHA-256 of the bytes on the disk)} of the newest committed block files."""
    folder = pathlib.Path(run_folder) / "checkpoints"
    manifest = json.loads((folder / "manifest.json").read_text())
    newest = {}
    for block in manifest["blocks"]:
        file = block["files"][0]
        digest = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
        assert digest == file["sha256"], f"{file['name']} is not what the manifest names"
        newest[block["block"]] = (file["step"], digest)
    return newest


def listing(*folders):
    """{path: (mode, modification time, contents or link)} of everything below: equal when nothing was touched. Folders
    go without their time, for a file may have come and gone in them."""
    found = {}
    for folder in folders:
        for path in [pathlib.Path(folder), *pathlib.Path(folder).rglob("*")]:
            status = path.lstat()
            if path.is_symlink():
                what = os.readlink(path)
            elif path.is_file():
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                what = ""
            found[str(path)] = (status.st_mode, 0 if path.is_dir() else status.st_mtime_ns, what)
    return found


class ProgramTest(unittest.TestCase):
    """Every test has a fresh folder."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="blocktrain-program-", ignore_cleanup_errors=True)
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def experiment(self, name="run", **values):
        return Experiment(self.folder, name, **values)

    def assertCode(self, result, code):
        if code != 0 and result.launcher_crashed:
            print(f"mpirun crashed at its end: whether the job ended with {code} is not known")
            return result
        self.assertEqual(result.code, code, str(result))
        return result

    def assertEveryStepOnce(self, run_folder, steps):
        """Each (block, step) has one row, and lost rows lie apart with their sums kept."""
        ledger = rows(run_folder / "ledger.jsonl")
        kept = whole_steps(ledger)
        seen = sorted((row["block"], row["step"]) for row in kept)
        self.assertEqual(seen, [(b, s) for b in range(BLOCKS) for s in range(steps)])
        summaries = [row for row in ledger if row["type"] == "lost"]
        lost_file = run_folder / "ledger.lost.jsonl"
        moved = rows(lost_file) if lost_file.exists() else []
        self.assertEqual(lost_file.stat().st_size if lost_file.exists() else 0,
                         summaries[-1]["lost_file_bytes"] if summaries else 0)
        self.assertFalse({self.key(row) for row in kept} & {self.key(row) for row in moved}, "rows in both files")
        for block in range(BLOCKS):
            theirs = [row for row in whole_steps(moved) if row["block"] == block]
            sums = [part for row in summaries for part in row["blocks"] if part["block"] == block]
            for name in ("tokens", "samples"):
                self.assertEqual(sum(s[name] for s in sums), sum(row[name] for row in theirs), name)
            self.assertEqual(sum(s["steps"] for s in sums), len(theirs))
            self.assertAlmostEqual(sum(s["seconds"] for s in sums), sum(row["seconds"] for row in theirs), places=6)
            for purpose in ("inter_block", "replica", "control"):
                self.assertEqual(sum(s["bytes_sent"][purpose] for s in sums),
                                 sum(row["bytes_sent"][purpose] for row in theirs), purpose)
        return ledger

    @staticmethod
    def key(row):
        """What tells a step row from every other ever written: a repeated step ends at another time."""
        return (row["type"], row["block"], row["step"], row["time"])


def main():
    if not BINARY:
        print("SKIPPED: BLOCKTRAIN does not name the binary")
        sys.exit(77)
    ended = unittest.main(exit=False, verbosity=2).result
    for test, why in ended.skipped:
        print(f"SKIPPED: {test}: {why}")
    if not ended.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if ended.skipped and len(ended.skipped) == ended.testsRun else 0)
