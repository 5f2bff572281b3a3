"""4 blocks on 3 ranks: a rank without a block left takes one over from the rank that has two, in a run under mpirun. The
weights are the same bits as those of one process, also where the run is stopped after the move."""

import os
import shutil
import signal
import tempfile

import program
from program import INTERRUPTED, ProgramTest, needs_mpirun, newest_files

STEPS = 600
# Seconds of idling after the others are done would be no test: turns of a few steps, and far more steps than those.
# Rows would wait for the readings of energy counters, and a test waits for rows.
UNEVEN = {"budget__steps": STEPS, "parallel__steps_per_visit": 4, "checkpoint__every_steps": 100,
          "energy__powercap_root": "/no/counters"}


def moves(run_folder, growing=False):
    """{block: ranks that trained it, in order} of the blocks that more than one rank trained."""
    ranks = {}
    for row in program.rows(run_folder / "ledger.jsonl", growing):
        if row["type"] == "change":
            seen = ranks.setdefault(row["block"], [])
            if row["ranks"][0] not in seen:
                seen.append(row["ranks"][0])
    return {block: seen for block, seen in ranks.items() if len(seen) > 1}


@needs_mpirun
class RebalanceTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="blocktrain-rebalance-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        whole = program.Experiment(folder, "whole", **UNEVEN)
        result = whole.train("--quiet")
        assert result.code == 0, result
        cls.bits = newest_files(whole.run)

    def test_a_block_moves_and_keeps_its_bits(self):
        tiny = self.experiment(**UNEVEN)
        result = self.assertCode(tiny.train(ranks=3), 0)
        moved = moves(tiny.run)
        self.assertEqual(len(moved), 1, moved)
        (block, (giver, taker)), = moved.items()
        self.assertIn(block, (0, 1))
        self.assertEqual(giver, 0)
        self.assertIn(f"rank {taker} takes block {block} over from rank 0 at step", result.out)
        self.assertEqual(newest_files(tiny.run), self.bits)
        self.assertEveryStepOnce(tiny.run, STEPS)

    def test_it_can_be_left_off(self):
        tiny = self.experiment(**UNEVEN, parallel__rebalance=False)
        self.assertCode(tiny.train("--quiet", ranks=3), 0)
        self.assertEqual(moves(tiny.run), {})
        self.assertEqual(newest_files(tiny.run), self.bits)

    def test_stopped_after_the_move_it_resumes(self):
        tiny = self.experiment(**UNEVEN)
        with tiny.start(ranks=3) as process:
            self.assertTrue(program.wait_until(lambda: moves(tiny.run, growing=True), process))
            os.kill(process.pid, signal.SIGUSR1)
            self.assertCode(process.wait(), INTERRUPTED)
        self.assertCode(tiny.train("--resume", "--quiet", ranks=2), 0)
        self.assertEqual(newest_files(tiny.run), self.bits)
        self.assertEveryStepOnce(tiny.run, STEPS)


if __name__ == "__main__":
    program.main()
