"""Signals ask a run to save and end with 75, from a process and through mpirun; it then resumes to the same bits. Two
trainings never share a RUN folder."""

import os
import shutil
import signal
import tempfile

import program
from program import INTERRUPTED, ProgramTest, listing, needs_mpirun, newest_files, steps_written

STEPS = 300


class SignalTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="blocktrain-signal-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        whole = program.Experiment(folder, "whole", budget__steps=STEPS)
        result = whole.train("--quiet", "--set", "parallel.ranks=4")
        assert result.code == 0, result
        cls.bits = newest_files(whole.run)

    def interrupt(self, tiny, sign, *more, **options):
        """Starts, sends the signal to the first process once some steps are done, returns the Result."""
        before = steps_written(tiny.run)
        with tiny.start(*more, **options) as process:
            self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > before + 50, process))
            os.kill(process.pid, sign)
            result = process.wait()
            self.assertTrue(process.wait_gone(30 * program.SLOWNESS), "processes are left over")
        return result

    def check_saved(self, tiny, result):
        self.assertCode(result, INTERRUPTED)
        self.assertIn("--resume", result.out + result.err, str(result))
        ledger = program.rows(tiny.run / "ledger.jsonl")
        self.assertEqual(ledger[-1]["type"], "run_end")
        self.assertEqual(ledger[-1]["status"], "interrupted")
        # Saved where it stopped: no step that has a row is repeated.
        for block, (step, _) in newest_files(tiny.run).items():
            self.assertEqual(step, sum(row["type"] == "step" and row["block"] == block for row in ledger))

    def check_resumes(self, tiny, *more, **options):
        self.assertCode(tiny.train("--resume", *more, **options), 0)
        self.assertEqual(newest_files(tiny.run), self.bits)
        self.assertEveryStepOnce(tiny.run, STEPS)
        self.assertFalse((tiny.run / "ledger.lost.jsonl").exists(), "steps were lost though all was saved")

    def test_a_plain_process(self):
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            for ranks in (1, 4):
                with self.subTest(signal=sign.name, ranks=ranks):
                    tiny = self.experiment(f"{sign.name}-{ranks}", budget__steps=STEPS, parallel__ranks=ranks)
                    self.check_saved(tiny, self.interrupt(tiny, sign))
                    self.check_resumes(tiny)

    @needs_mpirun
    def test_mpirun_forwards_usr1(self):
        tiny = self.experiment(budget__steps=STEPS)
        self.check_saved(tiny, self.interrupt(tiny, signal.SIGUSR1, ranks=4))
        # Interrupted twice, quietly, and with other numbers of ranks.
        self.check_saved(tiny, self.interrupt(tiny, signal.SIGUSR1, "--resume", "--quiet", ranks=2))
        self.check_resumes(tiny, ranks=3)

    @needs_mpirun
    def test_a_signal_to_one_rank_stops_all(self):
        tiny = self.experiment(budget__steps=STEPS)
        with tiny.start(ranks=4) as process:
            self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > 50, process))
            os.kill(process.ranks()[2], signal.SIGUSR1)
            self.check_saved(tiny, process.wait())
        self.check_resumes(tiny, ranks=4)

    def test_impatience_changes_nothing(self):
        tiny = self.experiment(budget__steps=STEPS)
        with tiny.start("--set", "parallel.ranks=4") as process:
            self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > 50, process))
            for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                os.kill(process.pid, sign)
            self.check_saved(tiny, process.wait())
        self.check_resumes(tiny)


class TwoTrainingsTest(ProgramTest):
    def test_the_second_is_refused_and_the_first_is_unharmed(self):
        tiny = self.experiment(budget__steps=20000, checkpoint__every_steps=10000)
        with tiny.start("--quiet") as process:
            self.assertTrue(program.wait_until(lambda: steps_written(tiny.run) > 10, process))
            config, data = [(tiny.run / name).read_bytes() for name in ("config.yaml", "data.json")]
            for more in ([], ["--resume"], ["--resume", "--set", "budget.steps=7"]):
                with self.subTest(arguments=more):
                    result = self.assertCode(tiny.train(*more), 2)
                    self.assertIn("log.directory", result.err)
                    self.assertIn("being trained in by another" if more else "--resume", result.err)
                    self.assertEqual(result.err.count("blocktrain:"), 1, str(result))
            self.assertEqual([(tiny.run / name).read_bytes() for name in ("config.yaml", "data.json")], [config, data])
            os.kill(process.pid, signal.SIGTERM)
            self.assertCode(process.wait(), INTERRUPTED)
        before = listing(tiny.run)
        self.assertCode(tiny.train("--set", "budget.steps=7"), 2)
        self.assertEqual(listing(tiny.run), before)
        newest = max(step for step, _ in newest_files(tiny.run).values())
        self.assertCode(tiny.train("--resume", "--set", f"budget.steps={newest}"), 0)
        self.assertEveryStepOnce(tiny.run, newest)

    def test_a_race_has_one_winner(self):
        tiny = self.experiment(budget__steps=40)
        started = [tiny.start("--quiet", "--set", "parallel.ranks=2") for _ in range(3)]
        try:
            results = [process.wait() for process in started]
        finally:
            for process in started:
                process.__exit__()
        self.assertEqual(sorted(result.code for result in results), [0, 2, 2], "\n".join(map(str, results)))
        self.assertEveryStepOnce(tiny.run, 40)


if __name__ == "__main__":
    program.main()
