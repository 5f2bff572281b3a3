#!/usr/bin/env python3
"""Compares training steps with the same network in PyTorch, in one run: blocktrain takes turns with one variant after
the other, row of steps by row of steps, so that whatever else the machine does falls on both. Prints medians, and
medians of the ratios of each turn.

    python3 bench/compare_step.py --bench build/release/bench/bench_step --python PYTHON_WITH_TORCH
    python3 bench/compare_step.py --cuda --shapes dit-l/2 --modes "one block" --bench ... --python ...

"PyTorch" is the fastest of its variants: eager, torch.compile in its default mode ("compiled"), with CUDA graphs
("reduce-overhead"), with products chosen by trying besides ("max-autotune"), and compiled with the whole step as one
CUDA graph ("whole-graph"). Variants of blocktrain: without its deterministic gradients ("no-deterministic", which is
what PyTorch computes), without CUDA graphs ("no-graph"). A variant that fails stands there with the reason.

images/s are of whole rows of steps, in which nothing waits for a single step, and every step brings its batch to the
GPU, on both sides; "ms" is the median step inside them. Memory on a CPU is the peak above what the process held before
the network was made. On a GPU it is what the driver says the process took beside its context; "planned" is what
`blocktrain plan` prices for the GPU, "allocated" torch.cuda.max_memory_allocated. MFU is the planned FLOPs of a step
over those of a large torch.matmul in bfloat16, measured in the same run; checkpointed activations do not count.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from peer import Peer, PeerFailed, reason_in

SHAPES = {
    "quickstart": dict(layers=8, width=64, heads=4, patch=2, batch=128, channels=1, size=8, classes=10, blocks=4),
    "dit-s/2": dict(layers=12, width=384, heads=6, patch=2, batch=512, channels=3, size=32, classes=100, blocks=4),
    "dit-s/2 8x8": dict(layers=12, width=384, heads=6, patch=2, batch=512, channels=3, size=8, classes=100, blocks=4),
    "dit-l/2": dict(layers=24, width=1024, heads=16, patch=2, batch=128, channels=4, size=32, classes=1000, blocks=4),
    "dit-xl/2": dict(layers=28, width=1152, heads=16, patch=2, batch=128, channels=4, size=32, classes=1000, blocks=4),
    "vit small": dict(architecture="vit", layers=6, width=64, heads=4, patch=4, batch=128, channels=1, size=28, classes=10,
                      blocks=3),
    "vit cifar-100": dict(architecture="vit", layers=12, width=128, heads=4, patch=4, batch=128, channels=3, size=32,
                          classes=100, blocks=3),
    "masked small": dict(architecture="masked", layers=8, width=64, heads=2, context=256, batch=16, classes=256, blocks=4),
    "masked text8": dict(architecture="masked", layers=12, width=768, heads=12, context=256, batch=256, classes=27, blocks=3),
    "width 384": dict(layers=12, width=384, heads=6, patch=2, batch=32, channels=3, size=32, classes=100, blocks=4),
}
for shape in SHAPES.values():
    shape.setdefault("architecture", "dit")
MODES = ("end to end", "one block")
OURS = ("no-deterministic", "no-graph")
THEIRS = ("eager", "compiled", "reduce-overhead", "whole-graph", "max-autotune")
COMMON = ("architecture", "layers", "width", "heads", "patch", "context", "batch", "channels", "size", "classes")


class Race:
    """Times blocktrain beside its peers: one network, one way of training, one number of threads."""

    def __init__(self, a, title, mode, threads):
        self.a, self.title, self.mode, self.threads = a, title, mode, threads
        self.shape = SHAPES[title]

    def command(self, variant, batch):
        """Of "blocktrain", of a variant of it, or of one of PyTorch's."""
        values = dict(self.shape, batch=batch)
        theirs = variant in THEIRS
        if theirs and self.mode == "one block":
            values["layers"] //= values["blocks"]
        numbers = [text for name in COMMON if name in values for text in ("--" + name, str(values[name]))] + ["--threads", str(self.threads)]
        numbers += ["--end-to-end"] if self.mode == "end to end" else []
        gpu = ["--cuda"] if self.a.cuda else []
        if theirs:
            return [self.a.python, self.a.torch_script] + numbers + gpu + ["--variant", variant]
        command = [self.a.bench] + numbers + ["--blocks", str(values["blocks"])] + (gpu + ["--bfloat16"] if gpu else [])
        command += ["--checkpoint-activations"] if self.a.checkpoint_activations else []
        return command + (["--" + variant] if variant in OURS else [])

    def start(self, variant, batch):
        """A peer that has taken its first steps: libraries have chosen, compilers compiled, graphs been made."""
        if self.a.until is not None and time.monotonic() > self.a.until:
            raise PeerFailed("not measured: the time was over")
        name = re.sub(r"[^\w.-]+", "-", "%s-%s-%d-%s-%d.log" % (self.title, self.mode, self.threads, variant, batch))
        peer = Peer(variant, self.command(variant, batch), os.path.join(self.a.logs, name), self.a.until)
        try:
            peer.row(3, keep=False)
            peer.seconds = peer.row(2, keep=False) / 2
            peer.row(self.steps(peer), keep=False)
            peer.batch = batch
            peer.alone = dict(peer.memory)  # the other one's memory does not change while this one warms up
        except PeerFailed:
            peer.stop()
            raise
        return peer

    def steps(self, peer):
        """Of a row."""
        return self.a.steps or min(100, max(5 if self.a.cuda else 1, round(self.a.row_seconds / peer.seconds)))

    def best_batch(self, variant):
        """Doubles the batch until memory is out, or nothing above 2% is gained."""
        best = None
        batch = 16
        while batch <= 4096:
            try:
                peer = self.start(variant, batch)
                steps = self.steps(peer)
                rate = batch * steps / peer.row(steps, keep=False)
                peer.close()
            except PeerFailed as failure:
                if best is None or not failure.out_of_memory:
                    note("  search for a batch of %s ends at %d: %s" % (variant, batch, failure))
                break
            note("  %s: batch %d, %s images/s" % (variant, batch, rate_text(rate)))
            if best is not None and rate < 1.02 * best[1]:
                break
            best, batch = (batch, rate), 2 * batch
        if best is None:
            raise PeerFailed("no batch was found")
        return best[0]

    def batch_of(self, variant):
        if self.a.batch != "auto":
            return int(self.a.batch or self.shape["batch"])
        return self.best_batch(variant)

    def run(self):
        result = dict(network=self.title, training=self.mode, threads=self.threads, variants={})
        try:
            us = self.start("blocktrain", self.batch_of("blocktrain"))
        except PeerFailed as failure:
            result["failed"] = str(failure)
            return result
        torch_batch = None
        for variant in self.a.variants:
            try:
                batch = us.batch
                if variant in THEIRS and self.a.batch == "auto":
                    torch_batch = torch_batch or self.search_beside(us)
                    us, batch = self.revived(us), torch_batch
                result["variants"][variant] = self.race(us, self.start(variant, batch))
            except PeerFailed as failure:
                result["variants"][variant] = dict(failed=str(failure))
                if us.process.poll() is not None:
                    break
            note("  %s, %s, %s: %s" % (self.title, self.mode, variant, short(result["variants"][variant])))
        try:
            if not us.rounds:
                for _ in range(self.a.turns):
                    us.row(self.steps(us))
            result.update(self.facts(us, us.ready["flops"] / us.batch))
        except PeerFailed as failure:
            result["failed"] = str(failure)
        us.close()
        self.add_best(result)
        return result

    def search_beside(self, us):
        """PyTorch's best batch, while blocktrain holds no memory."""
        us.close()
        theirs = [v for v in self.a.variants if v in THEIRS]
        return self.best_batch("compiled" if "compiled" in theirs else theirs[0])

    def revived(self, us):
        if us.process.poll() is None:
            return us
        again = self.start("blocktrain", us.batch)
        again.rounds = us.rounds
        return again

    def race(self, us, rival):
        ratios = []
        try:
            for _ in range(self.a.turns):
                ours = us.row(self.steps(us)) / self.steps(us) / us.batch
                theirs = rival.row(self.steps(rival)) / self.steps(rival) / rival.batch
                ratios.append(theirs / ours)
        except PeerFailed as failure:
            raise PeerFailed("%s: %s" % ("blocktrain" if us.process.poll() is not None else rival.name, failure)) from None
        finally:
            rival.close()
        facts = self.facts(rival, us.ready["flops"] / us.batch)
        facts["ratio"] = statistics.median(ratios)
        return facts

    def facts(self, peer, flops_per_image):
        seconds = peer.seconds_in_rows()
        tflops = flops_per_image * peer.batch / seconds * 1e-12
        peak = self.a.machine.get("matmul_tflops") if self.a.cuda else None
        facts = dict(batch=peer.batch, images_per_second=peer.batch / seconds, seconds_per_step=peer.seconds_per_step(),
                     seconds_per_step_in_rows=seconds, flops_per_image=flops_per_image, tflops=tflops,
                     mfu=tflops / peak if peak else None, host_bytes=peer.memory["peak"] - peer.ready["idle"])
        for key in ("device_bytes", "max_allocated", "max_reserved"):
            if key in peer.alone:
                facts[key] = peer.alone[key]
        for key in ("planned", "planned_device", "attention", "computes_with", "device", "torch"):
            if key in peer.ready:
                facts[key] = peer.ready[key]
        return facts

    def add_best(self, result):
        """The fastest of PyTorch's variants, and the memory of its leanest: compiling takes memory of its own."""
        theirs = {n: v for n, v in result["variants"].items() if n in THEIRS and "failed" not in v}
        if not theirs or "failed" in result:
            return
        result["best"] = max(theirs, key=lambda n: theirs[n]["images_per_second"])
        result["ratio"] = theirs[result["best"]]["ratio"]
        kind = "device_bytes" if self.a.cuda else "host_bytes"
        leanest = min(theirs, key=lambda n: theirs[n][kind])
        result["leanest"] = leanest
        result["memory_ratio"] = result[kind] / theirs[leanest][kind] if theirs[leanest][kind] > 0 else None


def note(text):
    print(text, file=sys.stderr, flush=True)


def rate_text(images_per_second):
    return "%.*f" % (2 if images_per_second < 100 else 0, images_per_second)


def short(variant):
    if "failed" in variant:
        return variant["failed"]
    return "%s images/s, blocktrain %.2f times as fast" % (rate_text(variant["images_per_second"]), variant["ratio"])


def compare_modes(whole, block, blocks):
    """What a block step costs beside one of the whole network."""
    if whole is None or "failed" in whole or "failed" in block:
        return {}
    per_image = block["images_per_second"] / whole["images_per_second"]
    flops = block["flops_per_image"] / whole["flops_per_image"]
    more = dict(time_per_flop_over_end_to_end=1 / per_image / flops, block_steps_over_end_to_end=blocks / per_image)
    for key in ("device_bytes", "planned_device"):
        if whole.get(key):
            more[key + "_over_end_to_end"] = block[key] / whole[key]
    return more


def cell(value, form="%s", scale=1):
    return "-" if value is None else form % (value * scale if scale != 1 else value)


HEAD = ("network", "training", "threads", "batch", "blocktrain images/s", "ms", "PyTorch images/s", "ratio", "blocktrain MiB",
        "planned", "PyTorch MiB", "allocated", "memory ratio", "blocktrain TFLOP/s", "MFU", "PyTorch MFU",
        "time per FLOP over end to end's", "all blocks' steps over end to end's", "memory over end to end's")


def table_row(r, cuda):
    start = [r["network"], r["training"], "%d" % r["threads"]]
    if "failed" in r:
        return start + ["failed: " + r["failed"]] + ["-"] * (len(HEAD) - 4)
    best, lean = (r["variants"].get(r.get(key), {}) for key in ("best", "leanest"))
    kind, mib = "device_bytes" if cuda else "host_bytes", 2.0**-20
    rival = "%s (%s)" % (rate_text(best["images_per_second"]), r["best"]) if best else "-"
    over = r.get("device_bytes_over_end_to_end")
    return start + [
        "%d" % r["batch"], rate_text(r["images_per_second"]), "%.3f" % (1e3 * r["seconds_per_step"]), rival,
        cell(r.get("ratio"), "%.2f"), cell(r[kind], "%.0f", mib), cell(r["planned_device" if cuda else "planned"], "%.0f", mib),
        cell(lean.get(kind), "%.0f", mib), cell(lean.get("max_allocated"), "%.0f", mib), cell(r.get("memory_ratio"), "%.2f"),
        "%.3f" % r["tflops"], cell(r["mfu"], "%.1f%%", 100), cell(best.get("mfu"), "%.1f%%", 100),
        cell(r.get("time_per_flop_over_end_to_end"), "%.2f"), cell(r.get("block_steps_over_end_to_end"), "%.2f"),
        cell(over, "%.2f")]


VARIANT_HEAD = ("network", "training", "variant", "batch", "images/s", "ms", "blocktrain over it", "MFU", "MiB", "allocated",
                "attention")


def variant_rows(results, cuda):
    kind, mib = "device_bytes" if cuda else "host_bytes", 2.0**-20
    for r in results:
        for name, v in r["variants"].items():
            start = [r["network"], r["training"], name]
            if "failed" in v:
                yield start + ["failed: " + v["failed"]] + ["-"] * (len(VARIANT_HEAD) - 4)
                continue
            yield start + [
                "%d" % v["batch"], rate_text(v["images_per_second"]), "%.3f" % (1e3 * v["seconds_per_step"]), "%.2f" % v["ratio"],
                cell(v["mfu"], "%.1f%%", 100), cell(v.get(kind), "%.0f", mib), cell(v.get("max_allocated"), "%.0f", mib),
                v.get("attention", "-")]


def print_row(cells):
    print("| " + " | ".join(text.replace("|", "/") for text in cells) + " |", flush=True)


def print_head(names):
    print_row(names)
    print("|" + "---|" * len(names), flush=True)


def measure_machine(a):
    """What a large matrix product and a copy reach here, by PyTorch; {} with a note where that does not work."""
    if not a.cuda:
        return {}
    done = subprocess.run([a.python, a.torch_script, "--machine", "--cuda"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          encoding="utf-8", errors="replace")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        return dict(failed=reason_in(done.stderr, done.returncode))
    return json.loads(lines[-1])


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_step", help="the program bench_step")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--torch-script", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_step.py"))
    parser.add_argument("--turns", type=int, default=9, help="rows of steps that each takes (default 9)")
    parser.add_argument("--steps", type=int, default=0, help="steps of a row (default: as many as --row-seconds take)")
    parser.add_argument("--row-seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--cuda", action="store_true", help="both on the first GPU, in bfloat16")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["quickstart", "width 384"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--variants", nargs="*", choices=OURS + THEIRS,
                        help="default: eager and compiled; with --cuda all but no-graph")
    parser.add_argument("--batch", help="images of a step, or auto: doubles until memory is out or less than 2%% is gained, for "
                                        "each side by itself (default: the shape's)")
    parser.add_argument("--checkpoint-activations", action="store_true", help="blocktrain keeps only the inputs of layers")
    parser.add_argument("--minutes", type=float, help="start nothing and wait for nothing after that (default 9 with --cuda)")
    parser.add_argument("--logs", help="folder for what the programs say (default: a new one)")
    parser.add_argument("--json", action="store_true", help="one object a line, with everything that was measured")
    a = parser.parse_args(arguments)
    if a.batch not in (None, "auto") and not (a.batch.isdigit() and int(a.batch) > 0):
        parser.error("--batch is a number or auto")
    if a.variants is None:
        a.variants = ["no-deterministic"] + list(THEIRS) if a.cuda else ["eager", "compiled"]
    if not a.cuda and set(a.variants) - {"eager", "compiled"}:
        parser.error("on a CPU there are the variants eager and compiled")
    minutes = a.minutes if a.minutes is not None else 9 if a.cuda else None
    a.until = time.monotonic() + 60 * minutes if minutes is not None else None
    if a.logs is None:
        a.logs = tempfile.mkdtemp(prefix="compare_step.")
    os.makedirs(a.logs, exist_ok=True)
    return a


def main(arguments=None):
    a = parse(arguments)
    note("what the programs say: " + a.logs)
    a.machine = measure_machine(a)
    if a.json:
        print(json.dumps(dict(machine=a.machine)), flush=True)
    else:
        if a.machine:
            print("machine: " + ", ".join("%s %s" % item for item in a.machine.items()) + "\n", flush=True)
        print_head(HEAD)
    results = []
    for title in a.shapes:
        for threads in a.threads:
            whole = None
            for mode in [m for m in MODES if m in a.modes]:
                # One after the other: two networks at a time would not fit a GPU.
                r = Race(a, title, mode, threads).run()
                if mode == "one block":
                    r.update(compare_modes(whole, r, SHAPES[title]["blocks"]))
                else:
                    whole = r
                results.append(r)
                if a.json:
                    print(json.dumps(r), flush=True)
                else:
                    print_row(table_row(r, a.cuda))
    if not a.json and a.variants:
        print()
        print_head(VARIANT_HEAD)
        for row in variant_rows(results, a.cuda):
            print_row(row)
    return 1 if all("failed" in r for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
