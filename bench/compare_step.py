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


def compare(a, title, shape, mode, threads):
    common = ["layers", "width", "heads", "patch", "batch", "channels", "size", "classes", "threads"]
    ours = [a.bench] + arguments(shape, threads, common + ["blocks"]) + (["--end-to-end"] if mode == "end to end" else [])
    theirs = dict(shape, layers=shape["layers"] if mode == "end to end" else shape["layers"] // shape["blocks"])
    torch = [a.python, a.torch_script] + arguments(theirs, threads, common)
    per_turn = 20 if title == "quickstart" else 1
    peers = [Peer("blocktrain", ours), Peer("eager", torch)]
    try:
        peers.append(Peer("compiled", torch + ["--compile"]))
        peers[-1].steps(2, keep=False)
    except (RuntimeError, BrokenPipeError):
        print("  (torch.compile does not work here)", file=sys.stderr)
        peers = peers[:2]
    for p in peers:
        p.steps(max(2, per_turn // 2), keep=False)
    for _ in range(a.turns):
        for p in peers:
            p.steps(per_turn)
    for p in peers:
        p.close()
    us, rivals = peers[0], peers[1:]
    best = min(rivals, key=lambda p: statistics.median(p.rounds))
    ratio = statistics.median(t / u for t, u in zip(best.rounds, us.rounds))
    # Compiling takes memory of its own; the leaner of the two counts.
    rival_bytes = min(p.peak - p.idle for p in rivals)
    memory = (us.peak - us.idle) / rival_bytes
    images = shape["batch"] / statistics.median(us.rounds)
    images_torch = shape["batch"] / statistics.median(best.rounds)
    print("| %s | %s | %d | %.0f | %.0f (%s) | %.2f | %.0f | %.0f | %.2f | %.1f |" %
          (title, mode, threads, images, images_torch, best.name, ratio, (us.peak - us.idle) / 2**20,
           rival_bytes / 2**20, memory, us.flops / statistics.median(us.rounds) / 1e9), flush=True)
    return us


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_step", help="the program bench_step")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--torch-script", default=__file__.replace("compare_step.py", "dit_torch.py"))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    a = parser.parse_args()
    print("| network | training | threads | blocktrain images/s | PyTorch images/s | ratio | blocktrain MiB | PyTorch MiB | "
          "memory ratio | blocktrain GFLOP/s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for title in a.shapes:
        for threads in a.threads:
            steps = [compare(a, title, SHAPES[title], mode, threads) for mode in ("end to end", "one block")]
            per_flop = [statistics.median(p.rounds) / p.flops for p in steps]
            print("time per planned FLOP of a block step over end to end's, %s, %d threads: %.2f" %
                  (title, threads, per_flop[1] / per_flop[0]), file=sys.stderr)


if __name__ == "__main__":
    main()
