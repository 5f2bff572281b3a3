"""The benchmarks' tools, without a GPU and without PyTorch: what they print on tiny networks, how they answer to programs
that fail, and what they make of their numbers. Stand-ins play PyTorch, and blocktrain where a GPU would be needed.

    bench_test.py BENCH_STEP SOURCE_DIR [--kernels BENCH_KERNELS_CUDA] [--emulated BENCH_STEP BENCH_KERNELS]

--emulated: the programs on the emulated GPU (tests/emulated_gpu), whose times mean nothing.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

options = argparse.ArgumentParser()
options.add_argument("bench")
options.add_argument("source", type=pathlib.Path)
options.add_argument("--kernels")
options.add_argument("--emulated", nargs=2)
options = options.parse_args()
BENCH, SOURCE, KERNELS, EMULATED = options.bench, options.source, options.kernels, options.emulated
sys.path.insert(0, str(SOURCE / "bench"))
sys.dont_write_bytecode = True

import compare_step  # noqa: E402
import memory  # noqa: E402
from peer import Peer, PeerFailed, reason_in  # noqa: E402

TINY = ["--layers", "4", "--width", "16", "--heads", "2", "--batch", "4", "--blocks", "4"]

# Takes the options of bench_step and torch_step.py. A step takes 1 ms and 0.1 ms an image, half of it where "compiled".
STAND_IN = r"""#!{python}
import json, sys
args = sys.argv[1:]
def value(name, default):
    return args[args.index(name) + 1] if name in args else default
if "--machine" in args:
    print(json.dumps(dict(matmul_tflops=500.0, device="stand-in")))
    sys.exit()
variant, batch = value("--variant", "blocktrain"), int(value("--batch", "1"))
if variant in {failing!r} or "--no-deterministic" in args and "no-deterministic" in {failing!r}:
    print("Traceback\n  File", file=sys.stderr)
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 7 GiB", file=sys.stderr)
    sys.exit(1)
print("a library says something")
print(json.dumps(dict(idle=1000, flops=1e9 * batch, planned=5000, planned_device=4000)), flush=True)
for line in sys.stdin:
    if batch > {most_images}:
        sys.exit("bench_step: cannot take 9 bytes of memory: out of memory")
    seconds = (1e-3 + 1e-4 * batch) * (0.5 if variant == "compiled" else 1)
    n = int(line)
    print(json.dumps(dict(seconds=[seconds] * n, row=n * seconds, peak=3000, device_bytes=2000 * batch)), flush=True)
"""


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def script(self, text, name="program.py"):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def peer(self, text, seconds=30):
        return Peer("peer", [sys.executable, self.script(text)], self.folder / "log", time.monotonic() + seconds)

    def stand_in(self, failing=(), most_images=10**9):
        text = STAND_IN.format(python=sys.executable, failing=tuple(failing), most_images=most_images)
        return self.script(text, "stand_in.py")

    def compare(self, *arguments, program=None, bench=None):
        """compare_step's exit code and lines, with a stand-in for PyTorch and, but where given, for blocktrain."""
        program = program or self.stand_in()
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = compare_step.main(["--bench", bench or program, "--python", sys.executable, "--torch-script", program, "--logs",
                                      str(self.folder / "logs"), "--turns", "3", "--steps", "4"] + list(arguments))
        return code, out.getvalue().splitlines()

    def compared(self, *arguments, **programs):
        code, lines = self.compare("--json", *arguments, **programs)
        return code, [json.loads(line) for line in lines]


class Reasons(unittest.TestCase):
    def test_out_of_memory_comes_first(self):
        log = "Traceback\ntorch.OutOfMemoryError: CUDA out of memory. Tried\nRuntimeError: another\n"
        self.assertTrue(reason_in(log, 1).startswith("out of memory: torch.OutOfMemoryError"))
        ours = "bench_step: cannot take 9 bytes of memory of NVIDIA H200 for activations: out of memory"
        self.assertTrue(reason_in(ours, 1).startswith("out of memory: bench_step"))

    def test_the_exception_rather_than_what_follows(self):
        self.assertEqual(reason_in("x\nRuntimeError: no kernel\n  hint: look elsewhere\n", 1), "RuntimeError: no kernel")
        self.assertEqual(reason_in("torch._dynamo.exc.BackendError: bad\n", 1), "torch._dynamo.exc.BackendError: bad")

    def test_signals_and_silence(self):
        self.assertEqual(reason_in("", -9), "ended by signal 9")
        self.assertEqual(reason_in("", None), "ended and said nothing")
        self.assertEqual(reason_in("loading\n", 3), "ended with code 3: loading")


class Peers(InFolder):
    def test_rows(self):
        peer = Peer("peer", [sys.executable, self.stand_in()], self.folder / "log")
        peer.row(3, keep=False)
        peer.row(4)
        self.assertEqual(len(peer.rounds), 1)
        self.assertAlmostEqual(peer.seconds_in_rows(), 1.1e-3)
        self.assertEqual(peer.memory, dict(peak=3000, device_bytes=2000))
        peer.close()

    def test_death_at_the_start_and_later(self):
        with self.assertRaisesRegex(PeerFailed, "ValueError: no"):
            self.peer("raise ValueError('no')")
        peer = self.peer("import os\nprint('{}', flush=True)\ninput()\nos.kill(os.getpid(), 15)")
        with self.assertRaisesRegex(PeerFailed, "ended by signal 15"):
            peer.row(1)
        with self.assertRaises(PeerFailed):
            self.peer("print('{}', flush=True)\nraise SystemExit(0)").row(1)

    def test_a_silent_one_is_given_up(self):
        begin = time.monotonic()
        with self.assertRaisesRegex(PeerFailed, "no answer"):
            self.peer("import time\ntime.sleep(100)", seconds=0.5)
        self.assertLess(time.monotonic() - begin, 50)


class Comparisons(InFolder):
    def test_fastest_variant_and_figures(self):
        code, (machine, whole, block) = self.compared("--cuda", "--shapes", "dit-l/2", "--variants", "no-graph", "eager", "compiled")
        self.assertEqual((code, machine["machine"]["matmul_tflops"]), (0, 500.0))
        self.assertEqual((whole["training"], block["training"], whole["best"]), ("end to end", "one block", "compiled"))
        self.assertAlmostEqual(whole["ratio"], 0.5)
        self.assertAlmostEqual(whole["images_per_second"], 128 / 13.8e-3)
        self.assertAlmostEqual(whole["mfu"], 1e9 * 128 / 13.8e-3 * 1e-12 / 500)
        self.assertEqual(whole["memory_ratio"], 1)
        self.assertAlmostEqual(whole["variants"]["no-graph"]["ratio"], 1)
        self.assertAlmostEqual(block["time_per_flop_over_end_to_end"], 1)
        self.assertAlmostEqual(block["block_steps_over_end_to_end"], 4)
        self.assertEqual(block["device_bytes_over_end_to_end"], 1)

    def test_a_variant_that_fails_says_why(self):
        failing = self.stand_in(failing=["compiled", "no-deterministic"])
        code, (_, row) = self.compared("--cuda", "--shapes", "dit-s/2", "--modes", "one block", "--variants", "no-deterministic",
                                       "compiled", "eager", program=failing)
        self.assertEqual((code, row["best"]), (0, "eager"))
        for variant in ("compiled", "no-deterministic"):
            self.assertTrue(row["variants"][variant]["failed"].startswith("out of memory: torch.OutOfMemoryError"))

    def test_without_pytorch_there_are_our_figures(self):
        failing = self.stand_in(failing=compare_step.THEIRS)
        code, lines = self.compare("--cuda", "--shapes", "dit-s/2", program=failing)
        self.assertEqual(code, 0)
        self.assertTrue(any(line.startswith("| dit-s/2 | end to end | 2 | 512 |") for line in lines))
        self.assertEqual(sum("failed: out of memory" in line for line in lines), 2 * len(compare_step.THEIRS))
        widths = {line.count("|") for line in lines if line.startswith("| dit")}
        self.assertEqual(widths, {len(compare_step.HEAD) + 1, len(compare_step.VARIANT_HEAD) + 1})

    def test_without_blocktrain_the_rest_goes_on(self):
        code, lines = self.compare("--cuda", "--shapes", "dit-s/2", "dit-l/2", program=self.stand_in(most_images=128))
        self.assertEqual(code, 0)
        self.assertEqual(sum("| failed: out of memory: bench_step" in line for line in lines), 2)
        self.assertTrue(any(line.startswith("| dit-l/2 | one block | 2 | 128 |") for line in lines))
        self.assertEqual(self.compare("--shapes", "quickstart", bench="/bin/false")[0], 1)

    def test_batches_are_searched(self):
        search = ("--cuda", "--shapes", "dit-s/2", "--modes", "one block", "--variants", "compiled", "--batch", "auto")
        _, (_, row) = self.compared(*search, program=self.stand_in(most_images=100))
        self.assertEqual((row["batch"], row["variants"]["compiled"]["batch"]), (64, 64))
        # Of 1 ms + 0.1 ms an image, 512 images and more gain less than 2%.
        _, (_, row) = self.compared(*search)
        self.assertEqual((row["batch"], row["variants"]["compiled"]["batch"]), (256, 256))

    def test_the_time_is_kept(self):
        code, (_, row) = self.compared("--cuda", "--shapes", "dit-s/2", "--modes", "one block", "--minutes", "0")
        self.assertEqual((code, row["failed"]), (1, "not measured: the time was over"))

    def test_with_blocktrain_itself(self):
        code, (_, whole, block) = self.compared("--shapes", "quickstart", "--steps", "1", "--turns", "1", bench=BENCH)
        self.assertEqual(code, 0)
        self.assertGreater(whole["flops_per_image"], 2 * block["flops_per_image"])
        self.assertEqual(set(whole["variants"]), {"eager", "compiled"})

    def test_arguments(self):
        for wrong in (["--variants", "max-autotune"], ["--batch", "0"], ["--batch", "many"], ["--shapes", "dit-9"]):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as refused:
                compare_step.parse(wrong)
            self.assertEqual(refused.exception.code, 2)
        self.assertEqual(compare_step.parse(["--cuda"]).variants, ["no-deterministic"] + list(compare_step.THEIRS))


def bench_step(*arguments, given=""):
    return subprocess.run([BENCH] + TINY + list(arguments), input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", env=dict(os.environ, CUDA_VISIBLE_DEVICES=""))


class Steps(unittest.TestCase):
    def test_serves(self):
        ready, first, second = map(json.loads, bench_step(given="2\n3\n").stdout.splitlines())
        self.assertEqual((ready["batch"], ready["planned_device"]), (4, 0))
        self.assertEqual((len(first["seconds"]), len(second["seconds"])), (2, 3))
        self.assertGreater(second["peak"], ready["idle"])

    def test_tables(self):
        row = json.loads(bench_step("--rows", "2", "--steps", "3", "--json", "--end-to-end").stdout)
        self.assertGreater(row["images_per_second"], 0)
        self.assertEqual(len(bench_step("--rows", "2", "--steps", "3").stdout.splitlines()), 2)

    def test_blocks_in_turn(self):
        row = json.loads(bench_step("--blocks-in-turn", "3", "--steps-per-visit", "2", "--rows", "2", "--json").stdout)
        self.assertEqual((row["blocks_in_turn"], row["copied_bytes_per_visit"], row["hidden"]), (3, 0, None))
        self.assertGreater(row["step_ms_in_turn"], 0)

    def test_plans_for_a_gpu_without_one(self):
        block, whole = (json.loads(bench_step("--plan", "--cuda", "--bfloat16", *more).stdout) for more in ((), ("--end-to-end",)))
        self.assertLess(0, block["planned_device"])
        self.assertLess(block["planned_device"], whole["planned_device"])

    def test_refusals(self):
        for wrong in (["--blocks-in-turn", "5"], ["--block", "4", "--plan"], ["--no-graph"], ["--no-deterministic"],
                      ["--cuda"], ["--rows", "-1"]):
            done = bench_step(*wrong)
            self.assertNotEqual(done.returncode, 0, wrong)
            self.assertNotEqual(done.stderr, "", wrong)


class Memory(unittest.TestCase):
    def test_most(self):
        for limit in (0, 1, 2, 3, 63, 64, 65, 1000):
            self.assertEqual(memory.most(lambda n, limit=limit: n <= limit), limit)

    def test_tables(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            memory.main(["--bench", BENCH, "--shapes", "dit-s/2", "--json"])
            memory.main(["--bench", BENCH, "--largest", "--memory-gib", "12", "--batch", "8", "--json"])
            memory.main(["--bench", BENCH, "--shapes", "dit-s/2"])
        lines = out.getvalue().splitlines()
        share, *sizes = map(json.loads, lines[:5])
        self.assertTrue(0 < share["ratio"] < 1)
        for size in sizes:
            self.assertLessEqual(size["device_bytes"], 10 * 2**30)
            self.assertGreaterEqual(size["times_end_to_end"], 1)
        self.assertEqual(len(lines), 8)


@unittest.skipIf(KERNELS is None, "built without CUDA")
class Kernels(unittest.TestCase):
    def test_lists(self):
        done = subprocess.run([KERNELS, "--list", "--json", "--shapes", "dit-l/2"], stdout=subprocess.PIPE, check=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        moved = {row["op"]: row["bytes"] for row in rows if row["dtype"] == "bfloat16"}
        self.assertEqual(moved["adamw"], 30 * 6 * 18 * 1024**2)
        self.assertEqual(moved["gated_residual forward"], (3 * 256 + 1) * 128 * 1024 * 2)


@unittest.skipIf(EMULATED is None, "no emulated GPU in this build")
class Emulated(unittest.TestCase):
    def run_here(self, program, *arguments, given=""):
        done = subprocess.run([EMULATED[program]] + list(arguments), input=given, stdout=subprocess.PIPE, encoding="utf-8")
        self.assertEqual(done.returncode, 0, arguments)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_rows_of_steps(self):
        for more in ([], ["--no-graph"], ["--no-deterministic", "--end-to-end"]):
            ready, answer = self.run_here(0, *TINY, "--cuda", "--bfloat16", *more, given="4\n")
            self.assertEqual(len(answer["seconds"]), 4)
            self.assertGreaterEqual(answer["device_bytes"], ready["planned_device"])

    def test_blocks_in_turn(self):
        turns = ["--cuda", "--bfloat16", "--steps-per-visit", "2", "--rows", "2", "--json", "--blocks-in-turn"]
        for count in (2, 3, 4):
            (row,) = self.run_here(0, *TINY, *turns, str(count))
            self.assertEqual(row["hidden"] is None, count == 2)
            self.assertEqual(row["copied_bytes_per_visit"] > 0, count > 2)

    def test_kernels(self):
        small = ["--json", "--repetitions", "2", "--rotated-mb", "0", "--copy-mb", "1"]
        rows = self.run_here(1, "--shapes", "tiny", *small)
        names = {dtype: {row["op"] for row in rows if row["dtype"] == dtype} for dtype in ("bfloat16", "float32")}
        self.assertEqual((len(names["bfloat16"]), len(names["float32"])), (53, 33))
        for row in rows:
            # What cuDNN computes on a GPU, a plain implementation of the same interface does here, but not every form.
            self.assertTrue(row.get("share_of_copy", 0) > 0 or ("not_served" in row and "cuDNN" in row["op"]), row)

    def test_proposals(self):
        only = ["--ops", "product qkv forward, ", "--dtypes", "bfloat16", "--repetitions", "1"]
        rows = self.run_here(1, "--shapes", "tiny", *only, "--json", "--rotated-mb", "0", "--proposals", "2")
        # There are no two on this one.
        self.assertEqual([row["op"][-10:] + str("not_served" in row) for row in rows], ["proposal 1False", "proposal 2True"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
