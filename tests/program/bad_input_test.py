"""Wrong input of every kind ends with code 2 and one clear message, said by one rank, and leaves the file system as it
was."""

import gzip
import hashlib
import json
import os
import re
import shutil
import struct

import program
from program import DIGITS, ProgramTest, listing, needs_mpirun

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def raw(name):
    return gzip.decompress((DIGITS / f"{name}.gz").read_bytes())


def with_digest(manifest):
    """A manifest as the program writes it: its last member is the SHA-256 of all before."""
    manifest.pop("sha256")
    body = json.dumps(manifest, indent=2)[:-2] + ",\n"
    return (body + f'  "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n').encode()


class BadInputTest(ProgramTest):
    def refused(self, result, *named):
        """Exit code 2, one message that names every one of `named`, and no other noise."""
        self.assertCode(result, 2)
        said = [line for line in result.err.splitlines() if line.startswith("blocktrain: ")]
        self.assertEqual(len(said), 1, f"not one message\n{result}")
        for name in named:
            self.assertIn(str(name), result.err)
        for noise in ("terminate called", "internal error", "Assertion", "Traceback", "what():", "HDF5-DIAG",
                      "yaml-cpp", "std::"):
            self.assertNotIn(noise, result.err)
        self.assertIsNone(re.search(r"\.[ch]pp:\d+", result.err), f"it names our sources\n{result}")
        self.assertEqual(result.out.strip(), "", str(result))

    def check(self, *named, arguments=None, ranks=0, extra=(), **options):
        """Runs on self.tiny and expects a refusal that touches nothing."""
        before = listing(self.folder)
        if arguments is None:
            arguments = ["train", self.tiny.config, *extra]
        self.refused(program.run(*arguments, ranks=ranks, **options), *named)
        after = listing(self.folder)
        self.assertEqual({p: v for p, v in after.items() if before.get(p) != v}, {}, "created or changed")
        self.assertEqual(before.keys(), after.keys(), "removed")

    def setUp(self):
        super().setUp()
        self.tiny = self.experiment(budget__steps=6, checkpoint__every_steps=3)

    # ---- the command line ----

    def test_command_line(self):
        config = self.tiny.config
        cases = [
            ([], ["accepted: plan, data, train"]), (["trian", config], ["trian", "train?"]), (["--verson"], ["--verson"]),
            (["train"], ["CONFIG"]), (["train", config, "more"], ["more"]), (["train", config, "--bogus"], ["--bogus"]),
            (["train", config, "--set"], ["--set"]), (["train", config, "--set", "model.width"], ["model.width", "="]),
            (["train", config, "--set", "=3"], ["--set"]),
            (["train", config, "--set", "model.widht=3"], ["model.width"]),
            (["train", config, "--set", "model=3"], ["model"]), (["train", config, "--set", "a.b.c=3"], ["a.b.c"]),
            (["plan", config, "--world", "many"], ["--world", "many"]),
            (["plan", config, "--world", "-1"], ["--world"]),
            (["plan", config, "--world", "99999999999"], ["--world"]),
            (["plan", config, "--world", "0"], ["--world", "accepted: an integer from 1"]),
            (["plan", config, "--world", "08"], ["--world", "08", "accepted: an integer from 1"]),
            (["train", self.folder / "none.yaml"], ["none.yaml"]), (["train", self.folder], [self.folder, "folder"]),
            (["train", "/dev/zero"], ["/dev/zero"]), (["train", ""], []),
            (["plan", self.folder / "none.yaml"], ["none"]),
        ]
        for arguments, named in cases:
            with self.subTest(arguments=arguments):
                self.check(*named, arguments=arguments)

    def test_numbers_of_generate(self):
        """By the rules of the config, before anything is read."""
        for option, values in {"--seed": ("010", "-1", "0x10", "1e3", "18446744073709551616", ""),
                               "--labels": ("3,,4", "3,", ",", "", "03", "-1", "1.5", "3 4"),
                               "--count": ("0", "-4", "010", "many", "1e3"), "--steps": ("0", "018", "-1", "2.5"),
                               "--guidance": ("nan", "inf", "-1", "101", "0x2", "much"), "--scale": ("0", "65", "02")}.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    self.check(f"{option}: found ", "accepted: ",
                               arguments=["generate", self.folder / "no-run", option, value])

    def test_guidance_without_label_dropout(self):
        self.tiny.set(model__label_dropout=0)
        self.trained()
        out = self.folder / "a.png"
        few = ["--count", "2", "--steps", "1", "-o", out]
        for guidance in ("3", "0", "0.5"):
            with self.subTest(guidance=guidance):
                self.check("--guidance", "model.label_dropout", "accepted: 1",
                           arguments=["generate", self.tiny.run, *few, "--guidance", guidance])
                self.check("eval.guidance", "model.label_dropout",
                           arguments=["eval", self.tiny.run, "--set", f"eval.guidance={guidance}"])
        self.assertCode(program.run("generate", self.tiny.run, *few, "--guidance", "1"), 0)

    # ---- the config ----

    def test_values(self):
        cases = {
            "model.width=wide": ["model.width", "wide"], "model.width=16.5": ["model.width"],
            "model.width=-16": ["model.width"], "model.width=99999999999999999999": ["model.width"],
            "model.width=1000000000": ["model.width"], "model.heads=3": ["model.heads", "model.width"],
            "model.layers=0": ["model.layers"], "blocks.count=5": ["blocks.count", "model.layers"],
            "blocks.count=0": ["blocks.count"], "blocks.layers=[1,1]": ["blocks.layers"],
            "blocks.layers=[4,0,0,0]": ["blocks.layers"], "model.patch=3": ["model.patch"],
            "noise.sigma_min=nan": ["noise.sigma_min"], "noise.sigma_max=.inf": ["noise.sigma_max"],
            "noise.sigma_min=100": ["noise.sigma_min", "noise.sigma_max"], "noise.p_std=0": ["noise.p_std"],
            "noise.partition=equal": ["noise.partition", "equal_probability"],
            "optimizer.learning_rate=.nan": ["optimizer.learning_rate"], "optimizer.learning_rate=": ["learning_rate"],
            "optimizer.betas=[0.9]": ["optimizer.betas"], "optimizer.betas=[0.9,1]": ["optimizer.betas"],
            "data.batch=0": ["data.batch"], "data.flip=perhaps": ["data.flip"], "data.path=": ["data.path"],
            "data.path=/nowhere/at/all": ["data.path", "/nowhere/at/all"], "budget.steps=-1": ["budget.steps"],
            "checkpoint.keep=0": ["checkpoint.keep"], "parallel.transport=carrier_pigeon": ["parallel.transport"],
            "parallel.activation_checkpointing=layers": ["parallel.activation_checkpointing", "did you mean layer?"],
            "parallel.activation_checkpoint=layer": ["did you mean parallel.activation_checkpointing?"],
            "parallel.device=cuda": ["parallel.device"], "energy.sample_seconds=0": ["energy.sample_seconds"],
            "parallel.ranks=120": ["data.batch", "120"], "parallel.ranks=100000000": ["parallel.ranks"],
            "seed=-1": ["seed"], "log.directory=": ["log.directory"],
        }
        for value, named in cases.items():
            with self.subTest(set=value):
                self.check(*named, extra=["--set", value])
        self.check("parallel.ranks", "parallel.transport",
                   extra=["--set", "parallel.transport=mpi", "--set", "parallel.ranks=3"])

    def test_files(self):
        good = self.tiny.config.read_text()
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
        cases = {
            "unknown key": (good.replace('"width"', '"widht"'), ["model.widht", "did you mean model.width"]),
            "unknown section": (good.replace("optimizer:", "optimiser:"), ["optimiser", "did you mean optimizer"]),
            "duplicate key": (good + "model: {width: 32}\n", ["model"]),
            "duplicate key in a section": (good.replace('"width": 16', '"width": 16, "width": 32'), ["width"]),
            "a list as the whole": ("[1, 2]\n", [self.tiny.config]),
            "a word as the whole": ("hello\n", [self.tiny.config]),
            "empty": ("", ["data.path"]), "not YAML": ("model: {width: [16\n", [self.tiny.config]),
            "binary": ("\x00\x01\x02\x7f" * 50, [self.tiny.config]), "deep": ("[" * 100000, [self.tiny.config]),
            "a bomb": (bomb + good, [self.tiny.config]), "a key twice by merge": ("<<: {seed: 3}\n" + good, ["<<"]),
            "extends nothing": ("extends: gone.yaml\n" + good, ["gone.yaml"]),
            "extends itself": (f"extends: {self.tiny.config.name}\n" + good, ["extends"]),
            "extends a loop": ("extends: other.yaml\n" + good, ["extends"]),
            "extends a number": ("extends: [1]\n" + good, ["extends"]),
        }
        (self.folder / "other.yaml").write_text(f"extends: {self.tiny.config.name}\n")
        for title, (text, named) in cases.items():
            with self.subTest(title):
                self.tiny.config.write_text(text)
                self.check(*named)
        with self.subTest("not UTF-8"):
            self.tiny.config.write_bytes(good.encode() + b"# \xff\xfe\nx\xff: 1\n")
            self.check(self.tiny.config)

    # ---- data ----

    def test_data(self):
        images, labels = raw(IMAGES), raw(LABELS)
        header = images[:16]

        def header_with(**changes):
            magic, count, height, width = struct.unpack(">IIII", header)
            values = {"magic": magic, "count": count, "height": height, "width": width, **changes}
            return struct.pack(">IIII", *(values[name] for name in ("magic", "count", "height", "width")))

        packed = (DIGITS / f"{IMAGES}.gz").read_bytes()
        cases = {
            "nothing there": {IMAGES: None, LABELS: None}, "no labels": {LABELS: None}, "no images": {IMAGES: None},
            "empty images": {IMAGES: b""}, "empty labels": {LABELS: b""}, "half a header": {IMAGES: images[:7]},
            "truncated": {IMAGES: images[:-1]}, "trailing": {IMAGES: images + b"\0"},
            "labels for images": {IMAGES: labels}, "images for labels": {LABELS: images},
            "too few labels": {LABELS: struct.pack(">II", 0x801, 59) + labels[8:-1]},
            "no samples": {IMAGES: header_with(count=0), LABELS: struct.pack(">II", 0x801, 0)},
            "huge count": {IMAGES: header_with(count=0xFFFFFFFF) + images[16:]},
            "huge picture": {IMAGES: header_with(height=0xFFFFFFFF, width=0xFFFFFFFF) + images[16:]},
            "flat picture": {IMAGES: header_with(height=0) + images[16:]},
            "unknown type": {IMAGES: header_with(magic=0xD03) + images[16:]},
            "truncated gzip": {IMAGES + ".gz": packed[:-30], IMAGES: None},
            "damaged gzip": {IMAGES + ".gz": packed[:200] + bytes([packed[200] ^ 0x40]) + packed[201:], IMAGES: None},
            "gzip by name alone": {IMAGES + ".gz": b"hello", IMAGES: None},
            "a folder for a file": {IMAGES: "folder"},
        }
        for title, changes in cases.items():
            with self.subTest(title):
                data = self.folder / "data"
                shutil.rmtree(data, ignore_errors=True)
                data.mkdir()
                files = {name: raw(name) for name in (IMAGES, LABELS, "t10k-images-idx3-ubyte",
                                                      "t10k-labels-idx1-ubyte")}
                for name, content in {**files, **changes}.items():
                    if content == "folder":
                        (data / name).mkdir()
                    elif content is not None:
                        (data / name).write_bytes(content)
                self.check(data, extra=["--set", f"data.path={data}"])
        self.check("not_a_folder", extra=["--set", f"data.path={self.file('not_a_folder')}"])

    def file(self, name, text="by somebody else\n"):
        path = self.folder / name
        path.write_text(text)
        return path

    # ---- the RUN folder ----

    def test_folders_that_are_not_ours(self):
        self.tiny.run.mkdir()
        (self.tiny.run / "thesis.txt").write_text("the only copy")
        for more in ([], ["--resume"]):
            self.check("log.directory", self.tiny.run, extra=more)
        (self.tiny.run / "thesis.txt").rename(self.tiny.run / "data.json")
        for more in ([], ["--resume"]):
            self.check("log.directory", extra=more)
        self.check("log.directory", "not a folder", extra=["--set", f"log.directory={self.file('file')}"])
        self.check("log.directory", extra=["--set", f"log.directory={self.folder}/file/below"])

    def test_folder_that_cannot_be_written(self):
        options = {}
        locked = self.folder / "locked"
        locked.mkdir()
        if os.geteuid() == 0:  # root may write anywhere
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chmod(path, 0o755 if path.is_dir() else 0o644)
            nobody = 65534
            if not os.access(program.BINARY, os.X_OK) or "/root/" in program.BINARY:
                self.skipTest("nobody cannot reach the binary")
            options["preexec"] = lambda: (os.setgroups([]), os.setgid(nobody), os.setuid(nobody))
        else:
            locked.chmod(0o555)
            self.addCleanup(locked.chmod, 0o755)
        self.check("log.directory", "Permission denied", extra=["--set", f"log.directory={locked}/run"], **options)

    def trained(self):
        self.assertCode(self.tiny.train("--quiet"), 0)
        return self.tiny.run / "checkpoints"

    def test_runs_that_exist(self):
        self.trained()
        self.check("log.directory", "--resume")
        for value in ("model.width=32", "seed=7", "data.batch=12", "noise.overlap=0.1"):
            self.check("--resume", value.split("=")[0], extra=["--resume", "--set", value])
        other = self.folder / "other-data"
        shutil.copytree(DIGITS, other)
        for name in (IMAGES, LABELS):
            (other / f"{name}.gz").unlink()
            (other / name).write_bytes(raw(name)[:-1] + b"\1")
        self.check("data.path", other, extra=["--resume", "--set", f"data.path={other}"])

    def test_runs_that_are_damaged(self):
        checkpoints = self.trained()
        more = ["--resume", "--set", "budget.steps=8"]
        names = ["manifest.json", "manifest.previous.json"]
        kept = {name: (checkpoints / name).read_bytes() for name in names}

        def manifests(change):
            for name in names:
                (checkpoints / name).write_bytes(change(kept[name]))

        def changed(name, value):
            return lambda text: with_digest({**json.loads(text), name: value})

        def renamed(text):
            manifest = json.loads(text)
            manifest["blocks"][0]["files"][0]["name"] = "../../../etc/passwd"
            return with_digest(manifest)

        for title, change in {"no JSON": lambda text: text[:len(text) // 2], "empty": lambda text: b"",
                              "a path out of the folder": renamed, "a newer version": changed("version", 99),
                              "of something else": changed("format", "album"), "no blocks": changed("blocks", []),
                              "a digit changed": lambda text: text.replace(b'"step": 6', b'"step": 5')}.items():
            with self.subTest(manifests=title):
                manifests(change)
                self.check("manifest.json", extra=more)
        manifests(lambda text: text)
        for name in ("config.yaml", "data.json"):
            with self.subTest(damaged=name):
                text = (self.tiny.run / name).read_bytes()
                (self.tiny.run / name).write_bytes(text[:40])
                self.check(name, extra=more)
                (self.tiny.run / name).write_bytes(text)
        with self.subTest("a ledger of something else"):
            ledger = self.tiny.run / "ledger.jsonl"
            text = ledger.read_bytes()
            ledger.write_bytes(b"{}\n" + text)
            try:
                self.check("ledger.jsonl", extra=more)
            finally:
                ledger.write_bytes(text)
        self.assertCode(self.tiny.train(*more), 0)

    def test_a_block_file_that_lies(self):
        """All copies of a block are damaged, and the manifest vouches for them: somebody made them so."""
        checkpoints = self.trained()
        for title, change in {"cut": lambda data: data[:4096], "no HDF5": lambda data: b"\x00" * len(data),
                              "shuffled": lambda data: data[:2000] + data[2000:40000][::-1] + data[40000:]}.items():
            with self.subTest(title):
                kept = {path: path.read_bytes() for path in checkpoints.iterdir()}
                digests = {}
                for path in checkpoints.glob("block-0002*"):
                    old = path.read_bytes()
                    path.write_bytes(change(old))
                    digests[hashlib.sha256(old).hexdigest()] = path
                for name in ("manifest.json", "manifest.previous.json"):
                    manifest = json.loads((checkpoints / name).read_text())
                    for block in manifest["blocks"]:
                        for entry in block["files"]:
                            if entry["sha256"] in digests:
                                path = digests[entry["sha256"]]
                                entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
                                entry["bytes"] = path.stat().st_size
                    (checkpoints / name).write_bytes(with_digest(manifest))
                self.check("block-0002", extra=["--resume", "--set", "budget.steps=8"])
                for path, data in kept.items():
                    path.write_bytes(data)

    # ---- several ranks ----

    @needs_mpirun
    def test_one_rank_speaks(self):
        data = self.folder / "data"
        data.mkdir()
        cases = [
            (["--set", "model.widht=3"], ["model.width"]), (["--bogus"], ["--bogus"]),
            (["--set", "data.path=/nowhere"], ["/nowhere"]), (["--set", f"data.path={data}"], [data]),
            (["--set", "parallel.transport=local"], ["parallel.transport"]),
            (["--set", "data.batch=1", "--set", "blocks.count=1"], ["data.batch"]),
            (["--set", f"log.directory={self.file('file')}"], ["log.directory"]),
        ]
        for more, named in cases:
            with self.subTest(arguments=more):
                self.check(*named, extra=more, ranks=2)
        self.check("none.yaml", arguments=["plan", self.folder / "none.yaml"], ranks=2)

    # ---- commands that read a run ----

    def test_readers_of_runs(self):
        self.tiny.run.mkdir()
        self.trained()
        empty, foreign = self.folder / "empty", self.folder / "foreign"
        empty.mkdir()
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("the only copy")
        run = self.tiny.run
        cases = {"eval": [([run, "--set", "model.width=8"], ["model.width"]),
                          ([run, "--set", "eval.images=no"], ["eval.images"]),
                          ([run, "--set", "eval"], ["eval"]), ([run, "--twin", empty], [empty])],
                 "generate": [([run, "--labels", "3,11"], ["11"]), ([run, "--labels", "three"], ["three"]),
                              ([run, "--labels", "-1"], ["labels"]), ([run, "--count", "0"], ["count"]),
                              ([run, "--sampler", "oiler"], ["oiler", "euler"]), ([run, "--steps", "0"], ["steps"]),
                              ([run, "--guidance", "nan"], ["guidance"]),
                              ([run, "--out", self.folder / "no" / "such" / "folder.png"], ["folder.png"])],
                 "export": [([run, "--out", self.file("file")], ["file"])]}
        for command, more in cases.items():
            if not offered(command):
                print(f"SKIPPED: {command}: this build does not have it yet")
                continue
            more = more + [([folder], [folder]) for folder in (empty, foreign, self.folder / "gone", self.tiny.config)]
            for arguments, named in more:
                with self.subTest(command=command, arguments=arguments):
                    self.check(*named, arguments=[command, *arguments])


def offered(command):
    """Whether the build has a command: an unfinished one says so, whatever it is given."""
    result = program.run(command, "/nowhere/at/all")
    return result.code == 2


if __name__ == "__main__":
    program.main()
