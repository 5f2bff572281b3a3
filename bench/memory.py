#!/usr/bin/env python3
"""What a block step takes on a GPU beside a step of the whole network, tables and working copies included, as
`blocktrain plan` prices it; and with --largest the largest networks that fit each way. Needs no GPU.

    python3 bench/memory.py --bench build/cuda/bench/bench_step
    python3 bench/memory.py --bench build/cuda/bench/bench_step --largest --memory-gib 139

--largest grows a network of DiT-XL/2's form (heads of 72, 28 layers) in width, and one of its width in depth, one block
of --blocks or the whole network on a GPU. What CUDA and its libraries take besides is not in the plan: --reserve-gib.
"""

import argparse
import json
import subprocess
import sys

from compare_step import COMMON, SHAPES, print_head, print_row


def plan(a, shape, end_to_end):
    command = [a.bench, "--plan", "--cuda", "--bfloat16", "--block", "0", "--blocks", str(shape["blocks"])]
    command += [text for name in COMMON if name in shape for text in ("--" + name, str(shape[name]))]
    command += ["--end-to-end"] if end_to_end else []
    command += ["--checkpoint-activations"] if a.checkpoint_activations else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, encoding="utf-8")
    return json.loads(done.stdout)


def beside_end_to_end(a):
    for title in a.shapes:
        shape = dict(SHAPES[title])
        shape["batch"] = a.batch or shape["batch"]
        whole, block = plan(a, shape, True), plan(a, shape, False)
        yield dict(network=title, batch=shape["batch"], blocks=shape["blocks"], end_to_end_bytes=whole["planned_device"],
                   block_bytes=block["planned_device"], ratio=block["planned_device"] / whole["planned_device"])


def most(fits):
    """The largest n from 1 for which fits(n); 0 where 1 does not. What fits is monotone."""
    if not fits(1):
        return 0
    n = 1
    while fits(2 * n):
        n *= 2
    low, high = n, 2 * n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest(a):
    room = (a.memory_gib - a.reserve_gib) * 2**30
    base = dict(SHAPES["dit-xl/2"], blocks=a.blocks, batch=a.batch or 32)
    base["layers"] = 28 // a.blocks * a.blocks
    families = {
        "wider": lambda n: dict(base, width=72 * n, heads=n),
        "deeper": lambda n: dict(base, layers=a.blocks * n),
    }
    for family, of in families.items():
        sizes = {}
        for mode, end_to_end in (("end to end", True), ("one block", False)):
            n = most(lambda n: plan(a, of(n), end_to_end)["planned_device"] <= room)
            if n == 0:
                continue
            shape = of(n)
            whole, taken = plan(a, shape, True), plan(a, shape, end_to_end)
            sizes[mode] = whole["parameters"]
            yield dict(family=family, training=mode, batch=shape["batch"], blocks=a.blocks, layers=shape["layers"],
                       width=shape["width"], heads=shape["heads"], parameters=whole["parameters"],
                       device_bytes=taken["planned_device"],
                       times_end_to_end=sizes[mode] / sizes["end to end"] if "end to end" in sizes else None)


def text_of(key, value):
    if value is None:
        return "-"
    if key.endswith("bytes"):
        return "%.2f GiB" % (value / 2**30)
    if key == "parameters":
        return "%.0fM" % (value / 1e6)
    return "%.2f" % value if isinstance(value, float) else str(value)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/cuda/bench/bench_step", help="the program bench_step")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["dit-s/2", "dit-l/2", "dit-xl/2"])
    parser.add_argument("--batch", type=int, default=0, help="images of a step (default: the shape's; 32 with --largest)")
    parser.add_argument("--checkpoint-activations", action="store_true")
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--blocks", type=int, default=4, help="with --largest")
    parser.add_argument("--memory-gib", type=float, default=139, help="of the GPU")
    parser.add_argument("--reserve-gib", type=float, default=2, help="of it not for tensors")
    parser.add_argument("--json", action="store_true", help="one object a line")
    a = parser.parse_args(arguments)
    headed = False
    for row in largest(a) if a.largest else beside_end_to_end(a):
        if a.json:
            print(json.dumps(row), flush=True)
            continue
        if not headed:
            print_head([key.replace("_", " ") for key in row])
            headed = True
        print_row([text_of(key, value) for key, value in row.items()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
