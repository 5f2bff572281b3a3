#!/usr/bin/env python3
"""Compares one training step with the same network in PyTorch, in one run: the programs take turns, so that whatever
else the machine does falls on all of them. Prints medians, and medians of the ratios of each turn.

    python3 bench/compare_step.py --bench build/release/bench/bench_step --python PYTHON_WITH_TORCH

PyTorch is the faster, and for memory the leaner, of eager and torch.compile (where that works). Memory is the peak
above what the process held before the network was made.
"""

import argparse
import statistics
import subprocess
import sys

SHAPES = {
    "quickstart": dict(layers=8, width=64, heads=4, patch=2, batch=128, channels=1, size=8, classes=10, blocks=4),
    "dit-s/2": dict(layers=12, width=384, heads=6, patch=2, batch=512, channels=3, size=32, classes=100, blocks=4),
    "dit-l/2": dict(layers=24, width=1024, heads=16, patch=2, batch=128, channels=4, size=32, classes=1000, blocks=4),
    "dit-xl/2": dict(layers=28, width=1152, heads=16, patch=2, batch=128, channels=4, size=32, classes=1000, blocks=4),
    "width 384": dict(layers=12, width=384, heads=6, patch=2, batch=32, channels=3, size=32, classes=100, blocks=4),
}


class Peer:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first = self.process.stdout.readline().split()
        if not first or first[0] != "ready":
            raise RuntimeError(name + " did not start: " + " ".join(command))
        self.idle = int(first[1])
        self.flops = float(first[3]) if len(first) > 3 else None
        self.rounds = []
        self.peak = 0

    def steps(self, n, keep=True):
        self.process.stdin.write("%d\n" % n)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(self.name + " ended early")
        self.peak = max(self.peak, int(answer[-1]))
        if keep:
            self.rounds.append(statistics.median(map(float, answer[:-1])))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def arguments(shape, threads, names):
    values = dict(shape, threads=threads)
    return [text for name in names for text in ("--" + name, str(values[name]))]


def rate(images_per_second):
    return "%.*f" % (2 if images_per_second < 100 else 0, images_per_second)


class Contest:
    """Ours and PyTorch's two variants of one network, started and warm."""

    def __init__(self, a, shape, mode, threads, per_turn):
        common = ["layers", "width", "heads", "patch", "batch", "channels", "size", "classes", "threads"]
        ours = [a.bench] + arguments(shape, threads, common + ["blocks"])
        theirs = dict(shape, layers=shape["layers"] if mode == "end to end" else shape["layers"] // shape["blocks"])
        torch = [a.python, a.torch_script] + arguments(theirs, threads, common)
        ours += ["--cuda", "--bfloat16"] if a.cuda else []
        torch += ["--cuda"] if a.cuda else []
        self.mode, self.per_turn, self.batch = mode, per_turn, shape["batch"]
        self.us = Peer("blocktrain", ours + (["--end-to-end"] if mode == "end to end" else []))
        self.rivals = [Peer("eager", torch)]
        try:
            self.rivals.append(Peer("compiled", torch + ["--compile"]))
            self.rivals[-1].steps(2, keep=False)
        except (RuntimeError, BrokenPipeError):
            print("  (torch.compile does not work here)", file=sys.stderr)
            del self.rivals[1:]
        for p in [self.us] + self.rivals:
            p.steps(max(2, per_turn // 2), keep=False)

    def turn(self):
        for p in [self.us] + self.rivals:
            p.steps(self.per_turn)

    def row(self):
        best = min(self.rivals, key=lambda p: statistics.median(p.rounds))
        ratio = statistics.median(t / u for t, u in zip(best.rounds, self.us.rounds))
        # Compiling takes memory of its own; the leaner of the two counts.
        rival_bytes = min(p.peak - p.idle for p in self.rivals)
        bytes_ = self.us.peak - self.us.idle
        seconds = statistics.median(self.us.rounds)
        return "%s | %s (%s) | %.2f | %.0f | %.0f | %.2f | %.1f" % (
            rate(self.batch / seconds), rate(self.batch / statistics.median(best.rounds)), best.name, ratio, bytes_ / 2**20,
            rival_bytes / 2**20, bytes_ / rival_bytes, self.us.flops / seconds / 1e9)

    def close(self):
        for p in [self.us] + self.rivals:
            p.close()


def compare(a, title, shape, threads):
    per_turn = {"end to end": 20, "one block": 60} if title == "quickstart" else {"end to end": 1, "one block": 3}
    contests = [Contest(a, shape, mode, threads, n) for mode, n in per_turn.items()]
    for _ in range(a.turns):
        for c in contests:
            c.turn()
    for c in contests:
        c.close()
        print("| %s | %s | %d | %s |" % (title, c.mode, threads, c.row()), flush=True)
    whole, block = (c.us for c in contests)
    print("time per planned FLOP of a block step over end to end's, %s, %d thread(s): %.2f" % (
        title, threads, statistics.median(b / e for b, e in zip(block.rounds, whole.rounds)) * whole.flops / block.flops),
        file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_step", help="the program bench_step")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--torch-script", default=__file__.replace("compare_step.py", "dit_torch.py"))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--cuda", action="store_true", help="both on the first GPU, in bfloat16 (memory is then the host's)")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["quickstart", "width 384"])
    a = parser.parse_args()
    print("| network | training | threads | blocktrain images/s | PyTorch images/s | ratio | blocktrain MiB | PyTorch MiB | "
          "memory ratio | blocktrain GFLOP/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for title in a.shapes:
        for threads in a.threads:
            compare(a, title, SHAPES[title], threads)


if __name__ == "__main__":
    main()
