"""eval and generate under mpirun: ranks share the work, one of them speaks and writes, and what comes out is what one
process makes. Errors are said once."""

import json
import os
import shutil
import signal
import tempfile

import program
from program import ProgramTest, needs_mpirun

# Several batches for several ranks.
FEW = ["--set", "eval.images=12", "--set", "eval.samples=20", "--set", "eval.steps=[3, 4]", "--set", "eval.batch=4"]


def without_times(found):
    for key in ("time", "seconds", "ranks"):
        del found[key]
    for row in found["run"]["generation"]:
        del row["seconds_per_image"]
    return found


def evaluations(run_folder):
    return [row for row in program.rows(run_folder / "ledger.jsonl") if row["type"] == "eval"]


@needs_mpirun
class EvalRanksTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="blocktrain-eval-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.trained = program.Experiment(folder, "trained", budget__steps=20, checkpoint__every_steps=10)
        result = cls.trained.train("--quiet")
        assert result.code == 0, result

    def setUp(self):
        super().setUp()
        self.run_folder = self.folder / "run"
        shutil.copytree(self.trained.run, self.run_folder)

    def test_eval(self):
        alone = self.assertCode(program.run("eval", self.run_folder, *FEW), 0)
        expected = json.loads((self.run_folder / "eval.json").read_text())
        self.assertEqual(expected["ranks"], 1)
        (self.run_folder / "eval.json").unlink()

        shared = self.assertCode(program.run("eval", self.run_folder, *FEW, ranks=3), 0)
        found = json.loads((self.run_folder / "eval.json").read_text())
        self.assertEqual(found["ranks"], 3)
        self.assertEqual(without_times(found), without_times(expected))
        for title in ("Denoising loss of", "generated images for each", "Judged by a classifier"):
            self.assertEqual(shared.out.count(title), 1, shared)
        self.assertEqual(shared.out.count(str(self.run_folder / "eval.json")), 1, shared)
        self.assertEqual(program.own_words(shared.err), alone.err)  # phases and warnings
        first, second = evaluations(self.run_folder)
        self.assertEqual(first["metrics"], second["metrics"])

    def test_generate(self):
        pictures = []
        for ranks in (0, 2):
            picture = self.folder / f"{ranks}.png"
            result = self.assertCode(program.run("generate", self.run_folder, "--count", 10, "--beside-real", "--out",
                                                 picture, "--set", "eval.batch=4", ranks=ranks), 0)
            self.assertEqual(result.out.count("10 images by"), 1, result)
            pictures.append(picture.read_bytes())
        self.assertEqual(pictures[0], pictures[1])
        self.assertEqual(len(list(self.folder.glob("*.png"))), 2)
        self.assertEqual([p.name for p in self.folder.glob(".*")], [])

    def refuse(self, words, *arguments):
        result = self.assertCode(program.run(*arguments, ranks=2), 2)
        self.assertEqual(result.err.count("blocktrain: "), 1, result)
        self.assertIn(words, result.err)
        self.assertEqual(result.out, "")

    def test_wrong_input_is_said_once(self):
        self.refuse("accepted: 0 to 9", "generate", self.run_folder, "--labels", 12)
        self.refuse("accepted: euler, heun, ancestral", "generate", self.run_folder, "--sampler", "none")
        block = json.loads((self.run_folder / "checkpoints" / "manifest.json").read_text())["blocks"][1]
        for file in block["files"]:
            path = self.run_folder / "checkpoints" / file["name"]
            path.write_bytes(path.read_bytes()[:-100])
        self.refuse("no usable checkpoint of block 1", "eval", self.run_folder)
        self.assertFalse((self.run_folder / "eval.json").exists())
        self.assertFalse((self.run_folder / "samples.png").exists())

    def test_a_lost_rank_ends_all(self):
        # More than any rank can be done with when rank 0 comes to it.
        much = ["--set", "eval.steps=[10000]", "--set", "eval.samples=4000"]
        with program.Process("eval", self.run_folder, *FEW, *much, ranks=3) as process:
            # Without moving the place where the ranks write.
            said = lambda: os.pread(process.err.fileno(), 1 << 16, 0)
            self.assertTrue(program.wait_until(lambda: b"generating" in said(), process))
            os.kill(process.ranks()[2], signal.SIGKILL)
            self.assertNotEqual(process.wait().code, 0)
            self.assertTrue(process.wait_gone(program.PATIENCE))
        self.assertFalse((self.run_folder / "eval.json").exists())


if __name__ == "__main__":
    program.main()
