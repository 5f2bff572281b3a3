"""What a person sees on a terminal: frames that fit it and replace each other, whatever its size and whenever that
changes, and no control characters where the terminal knows none."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import tty

import program
from program import INTERRUPTED, PATIENCE, ProgramTest, needs_mpirun

CLEAR = "\r\x1b[J"


class OnTerminal:
    """blocktrain, or mpirun with ranks of it, with its output on a pseudo-terminal."""

    def __init__(self, *arguments, columns, rows=24, term="xterm", ranks=0, error_too=False):
        command = [program.BINARY, *map(str, arguments)]
        if ranks:
            command = [program.MPIRUN, "-np", str(ranks), "--oversubscribe", "--bind-to", "none", *command]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                           OMPI_MCA_mpi_yield_when_idle="1")
        for name in ("TERM", "COLUMNS", "LINES"):
            environment.pop(name, None)
        if term is not None:
            environment["TERM"] = term
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)  # lines arrive as they were written
        self.resize(columns, rows)
        self.text = ""
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.slave, env=environment,
                                        stderr=self.slave if error_too else subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows=24):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        """Takes what has arrived; False when nothing more has."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.text += os.read(self.master, 65536).decode()
        return True

    def read_until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.read()
            assert time.monotonic() < end, f"waited in vain; so far:\n{self.text}"
            assert self.process.poll() is None, f"it ended; so far:\n{self.text}"

    def wait(self):
        """The exit code, once everything was read."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < end, f"it does not end; so far:\n{self.text}"
        while self.read():
            pass
        return self.process.returncode

    def frames(self):
        return self.text.count(CLEAR)


class TerminalTest(ProgramTest):
    def check_frames(self, text, columns, blocks=4):
        """Every frame has its lines, none wider than the terminal, and goes back up over all of them."""
        frames = re.findall(r"\r\x1b\[J((?:\n[^\n\r\x1b]*)+)\r\x1b\[(\d+)A", text)
        self.assertGreater(len(frames), 1, text)
        for frame, up in frames:
            lines = frame.split("\n")[1:]
            self.assertEqual(len(lines), blocks + 1)
            self.assertEqual(int(up), blocks + 1)
            for line in lines:
                self.assertLessEqual(len(line), max(1, columns - 1), repr(line))
        return frames

    def train_until(self, tiny, columns, **options):
        """Some frames, then the same at another width, then it is asked to save."""
        with OnTerminal("train", tiny.config, columns=columns, **options) as run:
            run.read_until(lambda: run.frames() >= 3)
            first = run.text
            run.resize(50)
            # A frame may have been on its way.
            run.read_until(lambda: run.frames() >= 6)
            resized = run.text[len(first):]
            run.process.send_signal(signal.SIGUSR1)
            code = run.wait()
            if code != INTERRUPTED and not options.get("ranks"):  # mpirun may crash at its end, see program.py
                self.assertEqual(code, INTERRUPTED, run.text)
            return first, resized, run.text

    def endless(self, name):
        return self.experiment(name, budget__steps=10000000, checkpoint__every_steps=10000000,
                               optimizer__decay_steps=0)

    def test_frames_fit(self):
        for columns in (200, 80, 40, 1):
            with self.subTest(columns=columns):
                first, resized, whole = self.train_until(self.endless(f"run-{columns}"), columns)
                frames = self.check_frames(first, columns)
                self.assertNotRegex(first + resized, r"\x1b\[2K")
                if columns >= 40:
                    self.assertRegex(frames[-1][0], r"\nblock 0 .*step +\d+/\d+")
                if columns == 200:
                    self.assertIn("sigma", frames[-1][0])
                later = self.check_frames(resized, max(columns, 50))[1:]
                for frame, _ in later:
                    self.assertLessEqual(max(map(len, frame.split("\n"))), 49)
                # What follows the last frame stands below it.
                self.assertNotIn("\x1b", whole[whole.rindex(CLEAR) + len(CLEAR):])

    def test_a_width_that_is_not_known(self):
        first, _, _ = self.train_until(self.endless("run"), 0)
        self.check_frames(first, 80)

    @needs_mpirun
    def test_under_mpirun_it_is_the_width_of_its_terminal(self):
        first, _, _ = self.train_until(self.endless("run"), 60, ranks=2)
        self.check_frames(first, 60)

    def test_terminals_without_control_characters(self):
        for term in ("dumb", "", None):
            with self.subTest(term=term):
                tiny = self.experiment(f"run-{term}", budget__steps=20)
                with OnTerminal("train", tiny.config, columns=80, term=term) as run:
                    self.assertEqual(run.wait(), 0, run.text)
                    self.assertNotRegex(run.text, r"[\x00-\x09\x0b-\x1f]")
                    self.assertIn("block 0 ", run.text)

    def test_eval(self):
        tiny = self.experiment(budget__steps=20, model__label_dropout=0.1)
        self.assertCode(tiny.train("--quiet"), 0)
        less = ["--set", "eval.samples=4", "--set", "eval.images=4", "--set", "eval.steps=[2]"]
        for columns, term in ((80, "xterm"), (20, "xterm"), (80, "dumb")):
            with self.subTest(columns=columns, term=term):
                with OnTerminal("eval", tiny.run, *less, columns=columns, term=term, error_too=True) as run:
                    self.assertEqual(run.wait(), 0, run.text)
                if term == "dumb":
                    self.assertNotRegex(run.text, r"[\x00-\x09\x0b-\x1f]")
                    continue
                drawn = re.findall(r"\r\x1b\[J([^\r\n\x1b]*)\r", run.text)
                self.assertGreater(len(drawn), 2, run.text)
                self.assertLessEqual(max(map(len, drawn)), columns - 1)
                self.assertNotIn("\x1b", run.text[run.text.rindex(CLEAR) + len(CLEAR):])


if __name__ == "__main__":
    program.main()
