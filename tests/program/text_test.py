"""Texts: what `data` says of them, what is refused, and short runs on them."""

import json
import os
import pathlib
import struct
import unittest

import program
from program import SOURCE, ProgramTest

TEXT = SOURCE / "tests" / "fixtures" / "text" / "coriolanus.txt"
SHAKESPEARE = pathlib.Path(os.environ.get("BLOCKTRAIN_TEST_DATA", SOURCE / ".." / "shared" / "data")) / "tinyshakespeare.txt"


def ids(numbers):
    return struct.pack(f"<{len(numbers)}H", *numbers)


class TextTest(ProgramTest):
    def tiny(self, **values):
        """A small `masked` on the committed text: 4 layers in 2 blocks."""
        tiny = self.experiment()
        tiny.values.pop("model.patch")
        tiny.set(**{"model__architecture": "masked", "model__context": 16, "blocks__count": 2, "data__path": str(TEXT),
                    "data__batch": 8, "budget__steps": 6, "optimizer__decay_steps": 6, "checkpoint__every_steps": 3,
                    "eval__every_steps": 3, "eval__windows": 16, **values})
        return tiny

    def data(self, *arguments, code=0):
        result = self.assertCode(program.run("data", *arguments), code)
        return json.loads(result.out) if "--json" in arguments and code == 0 else result

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def steps(self, run):
        rows = map(json.loads, (run / "ledger.jsonl").read_text().splitlines())
        return {(row["block"], row["step"]): (row["loss"], row["gradient_norm"]) for row in rows if row["type"] == "step"}

    def last_row(self, run):
        return json.loads((run / "ledger.jsonl").read_text().splitlines()[-1])

    # ---- data ----

    def test_data_says_what_is_there(self):
        size = TEXT.stat().st_size
        said = self.data(TEXT, "--json")
        self.assertEqual((said["task"], said["format"], said["files"], said["bytes"]), ("tokens", "text", 1, size))
        self.assertEqual(said["training_tokens"], int(size * 0.9))
        self.assertEqual(said["training_tokens"] + said["heldout_tokens"], size)
        self.assertIn(said["sample"]["text"], TEXT.read_text())
        self.assertEqual(said["duplicates"]["documents"], 0)
        lines = self.data(TEXT).out
        for part in (str(TEXT), "tokens", "the last 10%", "bytes", said["digest"], said["sample"]["text"].splitlines()[1]):
            self.assertIn(part, lines)

    def test_data_finds_duplicates(self):
        text = self.write("a.txt", b"same|other|same|" + b"x" * 100 + b"|" + b"y" * 16)
        arguments = (text, "--json", "--set", 'data.separator="|"')
        found = self.data(*arguments)["duplicates"]
        self.assertEqual((found["documents"], found["tokens"], found["left_out"]), (1, 5, False))
        self.assertAlmostEqual(found["share"], 5 / 119)  # of 133 tokens 119 are not held out
        left_out = self.data(*arguments, "--set", "data.deduplicate=exact")
        self.assertTrue(left_out["duplicates"]["left_out"])
        self.assertEqual(left_out["training_tokens"], 114)
        self.assertIn("data.deduplicate exact leaves them out", self.data(*arguments[:1], *arguments[2:]).out)

    def test_data_of_every_kind(self):
        images = self.data(program.DIGITS, "--json")
        self.assertEqual((images["task"], images["training_images"], images["shape"]), ("images", 60, [1, 8, 8]))
        bins = self.write("b/train.bin", ids(range(100))).parent
        self.write("b/val.bin", ids(range(50)))
        said = self.data(bins, "--json", "--set", "data.vocabulary=100")
        self.assertEqual((said["format"], said["training_tokens"], said["heldout_tokens"]), ("nanogpt", 100, 50))
        self.assertIsNone(said["sample"]["text"])
        self.assertIn("data.vocabulary", self.data(bins, code=2).err)
        self.assertIn("ids below 99", self.data(bins, "--set", "data.vocabulary=99", code=2).err)

    def test_data_refuses_what_it_cannot_read(self):
        cases = (((self.folder / "none",), "found no data"),
                 ((TEXT, "--task", "sounds"), "accepted: images, labels, tokens"),
                 ((TEXT, "--task", "images"), "is not a folder"),
                 ((TEXT, "--set", "data.tokeniser=x"), "did you mean data.tokenizer?"),
                 ((TEXT, "--set", "data.documents=far"), "joined, apart"),
                 ((TEXT, "--set", "data.documents"), "KEY=VALUE"),
                 ((TEXT, "--set", "data.format=[a"), "data.format"),
                 ((TEXT, "--set", "data.format=bytes", "--tokenizer", "x.json"), "data.tokenizer bytes"),
                 ((TEXT, "--tokenizer", "none.json"), "none.json"),
                 ((program.DIGITS, "--tokenizer", "bytes"), "reads no text"),
                 ((self.write("empty.txt", b""),), "is empty"),
                 ((self.write("latin.txt", b"caf\xe9"),), "byte 3 (0xe9)"))
        for arguments, part in cases:
            with self.subTest(arguments):
                self.assertIn(part, self.data(*arguments, code=2).err)

    # ---- train ----

    def test_what_is_refused_leaves_nothing(self):
        bins = self.write("ids/train.bin", ids(range(200))).parent
        self.write("ids/val.bin", ids(range(200)))
        cases = (({"data__path": str(self.write("latin.txt", b"x" * 1000 + b"\xe9"))}, "byte 1000"),
                 ({"data__path": str(self.write("short.txt", b"x" * 100))}, "held-out part has 10 tokens"),
                 ({"data__path": str(self.write("odd.bin", b"x" * 101)), "data__vocabulary": 70000}, "101 bytes"),
                 ({"data__path": str(bins), "data__vocabulary": 199}, "the id 199"),
                 ({"data__path": str(bins)}, "data.vocabulary"),
                 ({"data__documents": "apart", "data__separator": " ", "model__context": 100}, "documents, none of them as long"),
                 ({"data__documents": "joined", "model__context": 6000}, "model.context"))
        for values, part in cases:
            with self.subTest(values):
                tiny = self.tiny(**values)
                result = self.assertCode(tiny.train("--quiet"), 2)
                self.assertIn(part, result.err)
                self.assertFalse(tiny.run.exists())

    def test_a_run_is_the_same_on_any_number_of_ranks_and_resumed(self):
        tiny = self.tiny()
        self.assertCode(tiny.train("--quiet"), 0)
        whole = self.steps(tiny.run)
        self.assertEqual(len(whole), 12)
        for ranks in (2, 3):
            other = self.folder / f"ranks-{ranks}"
            self.assertCode(tiny.train("--quiet", "--set", f"parallel.ranks={ranks}", "--set", f"log.directory={other}"), 0)
            # Replicas of a block add up in another order.
            for key, numbers in self.steps(other).items():
                for mine, theirs in zip(whole[key], numbers):
                    self.assertAlmostEqual(mine, theirs, delta=0 if ranks == 2 else 1e-4 * abs(mine))
        parts = self.folder / "parts"
        for steps in (3, 6):
            self.assertCode(tiny.train("--quiet", "--resume", "--set", f"budget.steps={steps}", "--set",
                                       f"log.directory={parts}"), 0)
        self.assertEqual(self.steps(parts), whole)
        end, facts = self.last_row(tiny.run), json.loads((tiny.run / "data.json").read_text())
        self.assertEqual(end["tokens"], 2 * 6 * 8 * 16)
        self.assertEqual(end["distinct_tokens"], 6 * 8 * 16)
        self.assertEqual((facts["version"], facts["targets"], facts["classes"]), (2, 16, 256))
        self.assertEqual(facts["digest"], self.data(TEXT, "--json")["digest"])

    def test_passes_over_a_small_text(self):
        text = self.write("small.txt", TEXT.read_bytes()[:330])
        tiny = self.tiny(data__path=str(text), budget__steps=40, eval__every_steps=0)
        self.assertCode(tiny.train("--quiet"), 0)
        # 297 tokens to train on, seen 17 times over: all of them, not only those of whole windows.
        self.assertEqual(self.last_row(tiny.run)["distinct_tokens"], 297)
        # Other data are no continuation.
        text.write_bytes(TEXT.read_bytes()[1:331])
        self.assertIn("other data", self.assertCode(tiny.train("--resume", "--set", "budget.steps=41"), 2).err)

    @unittest.skipUnless(SHAKESPEARE.exists(), f"no {SHAKESPEARE}")
    def test_tiny_shakespeare(self):
        self.assertIn("on 1,003,854 tokens (bytes) in 15,684 windows of 64 (111,540 held out: the last 10%)",
                      self.assertCode(program.run("plan", SOURCE / "configs" / "masked-shakespeare.yaml", "--set",
                                                  f"data.path={SHAKESPEARE}"), 0).out)
        tiny = self.tiny(data__path=str(SHAKESPEARE), budget__steps=60, optimizer__decay_steps=60, eval__every_steps=30,
                         model__context=64, data__documents="apart", data__separator="\n\n", data__deduplicate="exact")
        result = self.assertCode(tiny.train(), 0)
        self.assertIn("documents that are there before or held out", result.err)
        self.assertIn("shorter than a window of 64", result.err)
        losses = [loss for (block, step), (loss, _) in sorted(self.steps(tiny.run).items()) if block == 1]
        self.assertLess(sum(losses[-10:]), 0.95 * sum(losses[:10]))


if __name__ == "__main__":
    program.main()
