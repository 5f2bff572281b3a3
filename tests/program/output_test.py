"""Output that nobody reads: it ends no training and no evaluation, and commands that only print end quietly."""

import os
import pty
import shutil
import signal
import subprocess
import unittest

import program
from program import BINARY, INTERRUPTED, MPIRUN, ProgramTest, needs_mpirun

STEPS = 60


def ignore_hangup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class UnreadTest(ProgramTest):
    def start(self, *command, out, ranks=0, preexec=None):
        """The process, its standard output and error where `out` says."""
        command = [BINARY, *map(str, command)]
        if ranks:
            command = [MPIRUN, "-np", str(ranks), "--oversubscribe", "--bind-to", "none", *command]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                           OMPI_MCA_mpi_yield_when_idle="1", OMPI_MCA_btl_base_warn_component_unused="0")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   env=environment, start_new_session=True, preexec_fn=preexec)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()

    def check_finished(self, tiny, process):
        self.assertEqual(process.wait(program.PATIENCE), 0)
        ledger = self.assertEveryStepOnce(tiny.run, STEPS)
        self.assertEqual(ledger[-1]["status"], "finished")

    def test_a_reader_that_leaves_after_a_line(self):
        """train | head -1"""
        tiny = self.experiment(budget__steps=STEPS)
        process = self.start("train", tiny.config, out=subprocess.PIPE)
        self.assertIn(b"blocks", process.stdout.readline())
        process.stdout.close()
        self.check_finished(tiny, process)

    @needs_mpirun
    def test_a_reader_of_mpirun_that_leaves(self):
        """mpirun ends the job after eleven lines that nobody takes: the ranks notice and are silent."""
        tiny = self.experiment(budget__steps=STEPS)
        process = self.start("train", tiny.config, out=subprocess.PIPE, ranks=2)
        process.stdout.readline()
        process.stdout.close()
        self.check_finished(tiny, process)

    def test_a_reader_that_reads_nothing(self):
        """A pager that waits for a key: the pipe is full before the run begins."""
        tiny = self.experiment(budget__steps=STEPS)
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 512)
        except BlockingIOError:
            os.set_blocking(writing, True)
        process = self.start("train", tiny.config, out=writing)
        os.close(writing)
        self.check_finished(tiny, process)

    def test_a_terminal_that_is_closed(self):
        tiny = self.experiment(budget__steps=STEPS)
        ours, theirs = pty.openpty()
        process = self.start("train", tiny.config, out=theirs)
        os.close(theirs)
        os.read(ours, 10)
        os.close(ours)  # writing fails with EIO from now on
        self.check_finished(tiny, process)

    def test_an_evaluation_nobody_watches(self):
        tiny = self.experiment(budget__steps=4)
        self.assertCode(tiny.train("--quiet"), 0)
        for command, made in ((["eval", tiny.run, "--set", "eval.samples=20"], tiny.run / "eval.json"),
                              (["generate", tiny.run, "-n", "4"], tiny.run / "samples.png"),
                              (["export", tiny.run], tiny.run / "export" / "model.safetensors")):
            with self.subTest(command=command[0]):
                reading, writing = os.pipe()
                process = self.start(*command, out=writing)
                os.close(writing)
                os.close(reading)
                self.assertEqual(process.wait(program.PATIENCE), 0)
                self.assertTrue(made.exists())

    def test_what_only_prints_ends_quietly(self):
        """plan | head -1"""
        tiny = self.experiment()
        for command in (["plan", tiny.config], ["plan", tiny.config, "--json"], ["plan", tiny.config, "--show-config"],
                        ["doctor"], ["--help"]):
            reading, writing = os.pipe()
            os.close(reading)
            done = subprocess.run([BINARY, *map(str, command)], stdout=writing, stderr=subprocess.PIPE,
                                  timeout=program.PATIENCE)
            os.close(writing)
            self.assertEqual(done.stderr, b"", command)
            self.assertIn(done.returncode, (0, -signal.SIGPIPE), command)

    def test_a_full_disk_is_not_quiet(self):
        tiny = self.experiment()
        with open("/dev/full", "w") as full:
            done = subprocess.run([BINARY, "plan", str(tiny.config)], stdout=full, stderr=subprocess.PIPE,
                                  timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


class HangupTest(ProgramTest):
    def interrupt(self, sign, **options):
        tiny = self.experiment(f"run-{sign.name}", budget__steps=20000, checkpoint__every_steps=20000)
        with tiny.start("--quiet", **options) as process:
            self.assertTrue(program.wait_until(lambda: program.steps_written(tiny.run) > 20, process))
            os.kill(process.pid, sign)
            return tiny, self.assertCode(process.wait(), INTERRUPTED)

    def test_signals_that_ask_for_the_end_save(self):
        for sign in (signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU):
            with self.subTest(signal=sign.name):
                tiny, result = self.interrupt(sign)
                self.assertIn("--resume", result.err)
                self.assertTrue(program.newest_files(tiny.run))

    def test_nohup(self):
        tiny = self.experiment(budget__steps=STEPS)
        with tiny.start("--quiet", preexec=ignore_hangup) as process:
            self.assertTrue(program.wait_until(lambda: program.steps_written(tiny.run) > 0, process))
            os.kill(process.pid, signal.SIGHUP)
            self.assertCode(process.wait(), 0)
        self.assertEveryStepOnce(tiny.run, STEPS)


if __name__ == "__main__":
    program.main()
