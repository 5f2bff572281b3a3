#!/usr/bin/env python3
"""What block-local training learns beside end-to-end training of the same network, at equal layer evaluations: trains
both for several seeds, evaluates them on the same noise with the same judge, and prints a table.

    python3 bench/learning.py --blocktrain build/release/blocktrain --config configs/quickstart.yaml --seeds 0 1 2

Runs that exist are resumed, so it may be stopped and started again.
"""

import argparse
import json
import os
import statistics
import subprocess


def train(a, seed, mode, folder):
    settings = ["--set", "seed=%d" % seed, "--set", "log.directory=" + folder, "--set", "blocks.training=" + mode]
    settings += [text for s in a.set for text in ("--set", s)]
    launcher = ["mpirun", "-np", str(a.ranks), "--oversubscribe", "--bind-to", "none"] if a.ranks > 1 else []
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    subprocess.run(launcher + [a.blocktrain, "train", a.config, "--resume", "--quiet"] + settings, check=True, env=environment)


def row(name, run):
    d, g = run["denoising"], run["generation"]
    cells = [name, "%.3f" % d["loss"], ", ".join("%.3f" % b["loss"] for b in d["blocks"])]
    for s in g:
        cells += ["%.1f%%" % (100 * s["agreement"]), "%.2f" % s["frechet_pixels_heldout"], "%.2f" % s["frechet_features_heldout"]]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocktrain", default="build/release/blocktrain")
    parser.add_argument("--config", default="configs/quickstart.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--runs", default="runs/learning", help="folder for the runs")
    parser.add_argument("--set", action="append", default=[], help="override a key of the config")
    a = parser.parse_args()

    results = {}
    for seed in a.seeds:
        local, whole = ("%s/seed-%d-%s" % (a.runs, seed, mode) for mode in ("block_local", "end_to_end"))
        train(a, seed, "block_local", local)
        train(a, seed, "end_to_end", whole)
        if not os.path.exists(local + "/eval.json"):
            subprocess.run([a.blocktrain, "eval", local, "--twin", whole], check=True, stdout=subprocess.DEVNULL)
        with open(local + "/eval.json") as file:
            results[seed] = json.load(file)

    first = next(iter(results.values()))
    steps = [s["steps"] for s in first["run"]["generation"]]
    header = ["run", "held-out loss", "by block"]
    for n in steps:
        header += ["agreement, %d steps" % n, "pixel Frechet", "feature Frechet"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for seed, result in results.items():
        print(row("block-local, seed %d" % seed, result["run"]))
        print(row("end to end, seed %d" % seed, result["twin"]))
    for name in ("run", "twin"):
        losses = [r[name]["denoising"]["loss"] for r in results.values()]
        agreement = [statistics.mean(r[name]["generation"][i]["agreement"] for r in results.values()) for i in range(len(steps))]
        print("mean of %s: loss %.3f; agreement %s" % ({"run": "block-local", "twin": "end to end"}[name], statistics.mean(losses),
              ", ".join("%.1f%% at %d steps" % (100 * x, n) for x, n in zip(agreement, steps))))
    print("judge: %.1f%% of real held-out images; floor of the distances: %.2f in pixels, %.2f in features" %
          (100 * first["classifier"]["heldout_accuracy"], first["frechet"]["floor_pixels"], first["frechet"]["floor_features"]))


if __name__ == "__main__":
    main()
