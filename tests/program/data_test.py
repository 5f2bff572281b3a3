"""Data that are not there yet, that are only partly read, and that change under a run."""

import gzip
import json
import lzma
import os
import signal

import program
from program import BLOCKS, DIGITS, SOURCE, ProgramTest, newest_files, steps_written, wait_until

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
HELDOUT = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def raw(name):
    return gzip.decompress((DIGITS / f"{name}.gz").read_bytes())


class DataTest(ProgramTest):
    def plan(self, *arguments, code=0, **options):
        result = self.assertCode(program.run("plan", *arguments, **options), code)
        return json.loads(result.out) if "--json" in arguments and code == 0 else result

    def plain(self, name="data", held=True):
        """The digits, unpacked."""
        folder = self.folder / name
        folder.mkdir()
        for file in (IMAGES, LABELS, *(HELDOUT if held else ())):
            (folder / file).write_bytes(raw(file))
        return folder

    # ---- plan ----

    def test_plan_without_data(self):
        for config in sorted((SOURCE / "configs").glob("*.yaml")):
            with self.subTest(config.name):
                plan = self.plan(config, "--json", "--set", "parallel.device=cpu", "--set", "model.precision=float32",
                                 cwd=self.folder)
                self.assertIn("does not exist", plan["data"]["absent"])
                if "context" in plan["data"]:
                    self.assertIsNone(plan["data"]["training_tokens"])
                    self.assertEqual(plan["data"]["vocabulary"], 256)
                else:
                    self.assertIsNone(plan["data"]["training_images"])
                    self.assertEqual(len(plan["data"]["shape"]), 3)
                self.assertGreater(plan["parameters"], 1000)
        tiny = self.experiment(data__path=str(self.folder / "none"))
        refused = self.plan(tiny.config, code=2).err
        for part in ("none", "does not exist", "data.shape", "data.classes", "neither"):
            self.assertIn(part, refused)
        tiny.set(data__shape=[1, 8, 8])
        self.assertIn("data.shape alone", self.plan(tiny.config, code=2).err)
        tiny.set(data__classes=10)
        without = self.plan(tiny.config, "--json")
        self.assertIn("as data.shape and data.classes say", self.plan(tiny.config).out)
        tiny.set(data__path=str(DIGITS))
        with_data = self.plan(tiny.config, "--json")
        self.assertEqual(with_data["data"]["training_images"], 60)
        del without["data"], with_data["data"]
        self.assertEqual(without, with_data)
        # Training needs them.
        tiny.set(data__path=str(self.folder / "none"))
        self.assertIn("does not exist", self.assertCode(tiny.train(), 2).err)

    def test_declared_data_are_checked(self):
        tiny = self.experiment(budget__steps=3, data__shape=[1, 8, 8], data__classes=10)
        self.assertCode(tiny.train("--quiet"), 0)
        cases = ((["--set", "data.shape=[3,8,8]"], ("data.shape", "[3, 8, 8]", "[1, 8, 8]")),
                 (["--set", "data.classes=11"], ("data.classes", "11", "10")))
        for more, parts in cases:
            for command in ("plan", "train"):
                with self.subTest(command=command, more=more):
                    result = self.assertCode(program.run(command, tiny.config, *more, "--set",
                                                         f"log.directory={self.folder}/other"), 2)
                    for part in (*parts, str(DIGITS)):
                        self.assertIn(part, result.err)
        # They are no part of the experiment.
        self.assertCode(tiny.train("--resume", "--quiet", "--set", "data.shape=[]", "--set", "data.classes=0"), 0)

    def test_plan_unpacks_no_images(self):
        """Damage inside a packed file shows only when it is unpacked: plan does not see it, train does."""
        folder = self.folder / "cifar"
        folder.mkdir()
        records = b"".join(bytes([i % 20, i % 100]) + os.urandom(3072) for i in range(60))
        packed = bytearray(lzma.compress(records))
        packed[len(packed) // 2] ^= 0xff
        (folder / "train.bin.xz").write_bytes(packed)
        tiny = self.experiment(data__path=str(folder), data__batch=8)
        plan = self.plan(tiny.config, "--json")["data"]
        self.assertEqual((plan["shape"], plan["classes"], plan["training_images"], plan["heldout_images"]),
                         ([3, 32, 32], 100, 57, 3))
        self.assertIn("checked by train", self.plan(tiny.config).out)
        self.assertIn("train.bin.xz", self.assertCode(tiny.train(), 2).err)

    # ---- links ----

    def test_links_that_are_skipped_are_said(self):
        data = self.plain(held=False)
        for name in HELDOUT:
            (self.folder / name).write_bytes(raw(name))
            (data / name).symlink_to(self.folder / name)
        tiny = self.experiment(data__path=str(data), budget__steps=3, parallel__ranks=2)
        for command, more in (("plan", ()), ("plan", ("--json",)), ("train", ("--quiet",))):
            with self.subTest(command=command, more=more):
                result = self.assertCode(program.run(command, tiny.config, *more), 0)
                warnings = [line for line in result.err.splitlines() if "warning" in line]
                self.assertEqual(len(warnings), 1, str(result))
                for part in (*HELDOUT, "symbolic links", "the last 3 training images", str(data)):
                    self.assertIn(part, warnings[0])
        self.assertIn("3 held out: the last 5%", self.plan(tiny.config).out)

    # ---- changes while a run goes on ----

    def running(self, data):
        return self.experiment(data__path=str(data), budget__steps=1000000, checkpoint__every_steps=20,
                               optimizer__decay_steps=0, parallel__ranks=2)

    def check_end(self, change, *parts):
        """A change of the images' file ends the run with 1 and a message that names it; what was saved before goes on
        once the file is as it was."""
        data = self.plain()
        images = data / IMAGES
        before = images.read_bytes()
        status = images.stat()
        tiny = self.running(data)
        with tiny.start() as process:
            committed = lambda: (tiny.run / "checkpoints" / "manifest.json").exists()
            self.assertTrue(wait_until(lambda: committed() and steps_written(tiny.run) > 200, process),
                            process.result(None))
            change(images)
            result = self.assertCode(process.wait(), 1)
        for part in (str(images), "in use", *parts):
            self.assertIn(part, result.err)
        saved = newest_files(tiny.run)
        self.assertEqual(len(saved), BLOCKS)
        images.write_bytes(before)
        os.utime(images, ns=(status.st_atime_ns, status.st_mtime_ns))
        steps = max(step for step, _ in saved.values()) + 5
        tiny.set(budget__steps=steps)
        self.assertCode(tiny.train("--resume", "--quiet"), 0)
        self.assertEveryStepOnce(tiny.run, steps)

    def test_data_that_shrink(self):
        self.check_end(lambda images: os.truncate(images, 0), "now has 0")

    def test_data_that_are_overwritten(self):
        def overwrite(images):
            with images.open("r+b") as file:
                file.seek(16)
                file.write(os.urandom(1000))
            os.utime(images, ns=(0, 10**18))  # whatever the clock of the file system
        self.check_end(overwrite, "other contents")

    def test_data_that_are_only_touched(self):
        data = self.plain()
        tiny = self.running(data)
        with tiny.start() as process:
            self.assertTrue(wait_until(lambda: steps_written(tiny.run) > 20, process), process.result(None))
            os.utime(data / IMAGES, ns=(0, 10**18))
            said = lambda: "was touched" in process.result(None).err
            self.assertTrue(wait_until(said, process), process.result(None))
            os.kill(process.pid, signal.SIGUSR1)
            result = self.assertCode(process.wait(), program.INTERRUPTED)
        self.assertEqual(result.err.count("was touched"), 1, str(result))
        self.assertIn(IMAGES, result.err)


if __name__ == "__main__":
    program.main()
