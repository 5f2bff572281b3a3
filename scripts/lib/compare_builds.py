"""The work of scripts/compare-builds.sh, whose --help says what it does.

Every number that a build writes gets a name, such as "tiny-local/block-0002.step-00000020/parameters/layers.2.mlp.input
.weight", and its bits as a value that can be compared: then two builds are two dictionaries.
"""

import argparse
import fnmatch
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

STEPS = 20

# Keys of older versions alone: both builds read these files.
TINY = """
data: {path: "%(data)s", batch: 24}
model: {layers: 4, width: 16, heads: 2, patch: 2}
blocks: {count: 4}
optimizer: {learning_rate: 2e-3, warmup_steps: 3, decay_steps: %(steps)d, average_decay: 0.9}
budget: {steps: %(steps)d}
eval: {every_steps: 10, images: 20, samples: 20, steps: [4, 6]}
checkpoint: {every_steps: 10, keep: 2}
parallel: {device: cpu, steps_per_visit: 7, timeout_seconds: 600}
"""
QUICKSTART = """
data: {path: "%(data)s", batch: 48}
model: {layers: 8, width: 64, heads: 4, patch: 2, label_dropout: 0.1}
blocks: {count: 4}
noise: {overlap: 0.05, sigma_data: 0.5}
optimizer: {learning_rate: 2e-3, warmup_steps: 5, decay_steps: -1, clip_norm: 1.0}
budget: {steps: %(steps)d}
eval: {samples: 20, steps: [4, 18]}
checkpoint: {every_steps: 500}
parallel: {device: cpu, timeout_seconds: 600}
"""
# Everything that the others leave at its default.
VARIED = """
data: {path: "%(data)s", batch: 21, micro_batch: 8, flip: true}
model: {layers: 5, width: 24, heads: 3, patch: 4, mlp_ratio: 3, label_dropout: 0.3}
blocks: {count: 3, layers: [2, 1, 2], seeds: [7, 8, 9]}
noise: {partition: uniform_log, sampling: uniform_log, overlap: 0.2, sigma_max_fraction: 0.1, sigma_max: 40}
objective: {weighting: none}
optimizer: {learning_rate: 1e-3, weight_decay: 0.1, betas: [0.8, 0.99], clip_norm: 0.05, final_fraction: 0.2,
            decay_steps: 15}
budget: {steps: %(steps)d}
eval: {samples: 20, steps: [3, 5], sampler: heun, guidance: 1.5}
checkpoint: {every_steps: 500}
parallel: {device: cpu, activation_checkpointing: layer, timeout_seconds: 600}
"""


class Training:
    """One training: a config, overrides, and what is done with the result."""

    def __init__(self, name, config, overrides=(), mpi=0, interrupted=False, uses=False):
        self.name, self.config, self.overrides = name, config, list(overrides)
        self.mpi = mpi  # ranks under mpirun; 0: without it
        self.interrupted = interrupted  # half of the steps first, then --resume
        self.uses = uses  # whether it is evaluated, exported and generated from as well


TRAININGS = [
    Training("tiny-local", TINY, ["parallel.threads=1"], uses=True),
    Training("tiny-local-2-ranks", TINY, ["parallel.threads=1", "parallel.ranks=2"]),
    Training("tiny-local-8-ranks", TINY, ["parallel.threads=1", "parallel.ranks=8"]),
    Training("tiny-local-resumed", TINY, ["parallel.threads=1", "parallel.ranks=2"], interrupted=True),
    Training("tiny-end-to-end", TINY, ["parallel.threads=2", "blocks.training=end_to_end"], uses=True),
    Training("tiny-end-to-end-2-ranks", TINY,
             ["parallel.threads=1", "parallel.ranks=2", "blocks.training=end_to_end"]),
    Training("varied", VARIED, ["parallel.threads=2"], uses=True),
    Training("quickstart-local", QUICKSTART, ["parallel.threads=2"], uses=True),
    Training("quickstart-local-mpi", QUICKSTART, ["parallel.threads=1"], mpi=2),
    Training("quickstart-end-to-end", QUICKSTART, ["parallel.threads=2", "blocks.training=end_to_end"]),
]

SAMPLERS = [("euler", 4, 1), ("heun", 5, 1.5), ("ancestral", 6, 1)]

# What a figure is called in newer versions.
RENAMED = {"mse": "unweighted", "heldout_mse": "heldout_unweighted"}
# Figures that no two runs share, and facts about the machine, at any depth.
NOT_COMPARED = {"time", "seconds", "seconds_per_image", "computed_on", "program", "version", "format", "directory", "folder",
                "path", "digest", "experiment", "ranks", "images_per_second"}
# What a ledger row has of the numbers that training computes.
LEDGER_FIGURES = {"step": ["loss", "mse", "learning_rate", "gradient_norm", "tokens", "samples"],
                  "eval": ["metrics", "samples"]}


class Failed(Exception):
    """A command of one of the builds failed."""


def run(command, folder):
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       OMPI_MCA_rmaps_base_oversubscribe="1", OMP_WAIT_POLICY="passive")  # the machine may be busy
    for name in ("OMP_NUM_THREADS", "OMP_PROC_BIND", "BLOCKTRAIN"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Failed("%s ended with %d:\n%s" % (" ".join(command), done.returncode, done.stdout[-2000:]))


def train(program, training, folder, data):
    """Trains into `folder`/run."""
    config = os.path.join(folder, "config.yaml")
    with open(config, "w") as file:
        file.write("log: {directory: run}\n" + training.config % {"data": data, "steps": STEPS})
    overrides = [text for key in training.overrides for text in ("--set", key)]
    launcher = ["mpirun", "-np", str(training.mpi), "--bind-to", "none"] if training.mpi else []
    command = launcher + [program, "train", config, "--quiet"] + overrides
    if training.interrupted:
        run(command + ["--set", "budget.steps=%d" % (STEPS // 2)], folder)
    run(command + (["--resume"] if training.interrupted else []), folder)


def read_h5py(path):
    import h5py  # pylint: disable=import-error
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found["/" + name] = (str(item.dtype), item.shape, item[()].tobytes())
    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def read_h5dump(path):
    """Datasets by name: type, shape and numbers as h5dump prints them, with as many digits as tell float32 (and float64)
    apart, and signs of zeros."""
    # A run's files may be larger than a pipe holds.
    done = subprocess.run(["h5dump", "-w", "0", "-m", "%.17g", path], stdout=subprocess.PIPE, text=True, check=True)
    found, names, opened, lines = {}, [], [], None
    attribute = 0
    for line in done.stdout.splitlines():
        word = line.split()
        if not word:
            continue
        opens, closes = word[-1] == "{", word[0] == "}"
        if attribute:  # with all inside it
            attribute += (1 if opens else 0) - (1 if closes else 0)
            continue
        if word[0] == "ATTRIBUTE" and opens:
            attribute = 1
        elif opens:
            opened.append(word[0])
            if word[0] in ("GROUP", "DATASET"):
                names.append(line.split('"')[1].strip("/"))
            if word[0] == "DATASET":
                lines = found.setdefault("/" + "/".join(n for n in names if n), [])
        elif closes:
            kind = opened.pop()
            if kind in ("GROUP", "DATASET"):
                names.pop()
            if kind == "DATASET":
                lines = None
        elif lines is not None:
            # "(3,0): 1, 2": the place follows from the shape.
            lines.append(line.split(": ", 1)[-1].strip() if opened[-1] == "DATA" else line.strip())
    return {name: "\n".join(text) for name, text in found.items()}


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    body = data[8 + length:]
    return {name: (entry["dtype"], tuple(entry["shape"]), body[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def read_png(path):
    """Size, colour type and pixels of a PNG of 8 bits a channel without interlacing, however it is compressed."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed, head = 8, b"", None
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", data[at + 8:at + 8 + length])
        elif kind == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = head
    if depth != 8 or interlaced:
        raise Failed("%s: a picture of another kind than this script reads" % path)
    bpp = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    raw, stride, above, pixels = zlib.decompress(packed), width * bpp, bytes(width * bpp), bytearray()
    for row in range(height):
        start = row * (stride + 1)
        kind, line = raw[start], bytearray(raw[start + 1:start + 1 + stride])
        for i in range(stride):
            left = line[i - bpp] if i >= bpp else 0
            corner = above[i - bpp] if i >= bpp else 0
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + above[i]) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + above[i]) // 2) & 255
            elif kind == 4:
                p = left + above[i] - corner
                near = min((left, above[i], corner), key=lambda x, p=p: abs(p - x))
                line[i] = (line[i] + near) & 255
        pixels += line
        above = bytes(line)
    return (width, height, colour, bytes(pixels))


def figures(value, name):
    """Leaves of parsed JSON by name, without what no two runs share."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in NOT_COMPARED:
                yield from figures(inner, "%s/%s" % (name, RENAMED.get(key, key)))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from figures(inner, "%s/%d" % (name, i))
    else:
        yield name, value


def as_in_step_row(value):
    """A real with the seven digits that step rows have since version 2.0 of the ledger."""
    return float("%.7g" % value) if isinstance(value, float) else value


def ledger_figures(path):
    """Losses and the like of every row that has them; a step's row is named by block and step."""
    found, changes = {}, {}
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            if row["type"] == "change":
                changes[row["block"]] = row
            elif row["type"] == "step":  # with what its change row says; before 2.0 it said all, in more digits
                row = {key: as_in_step_row(value) for key, value in {**changes.get(row["block"], {}), **row}.items()}
            for key in LEDGER_FIGURES.get(row["type"], []):
                renamed = RENAMED.get(key, key)
                if key in row or renamed in row:
                    name = "ledger/%s/block-%s/step-%s/%s" % (row["type"], row["block"], row["step"], renamed)
                    found.update(figures(row.get(key, row.get(renamed)), name))
    return found


def results(program, training, folder, data, read_hdf5):
    """Trains and uses it; everything that can be compared, by name."""
    os.makedirs(folder)
    train(program, training, folder, data)
    where, found = os.path.join(folder, "run"), {}
    checkpoints = os.path.join(where, "checkpoints")
    for file in sorted(os.listdir(checkpoints)):
        if file.endswith(".h5"):
            datasets = read_hdf5(os.path.join(checkpoints, file))
            found.update(("%s%s" % (file[:-3], name), value) for name, value in datasets.items())
    found.update(ledger_figures(os.path.join(where, "ledger.jsonl")))
    if training.uses:
        run([program, "export", where], folder)
        for file in ("model.safetensors", "reference.safetensors"):
            tensors = read_safetensors(os.path.join(where, "export", file))
            found.update(("export/%s/%s" % (file[:-12], name), value) for name, value in tensors.items())
        for sampler, steps, guidance in SAMPLERS:
            out = os.path.join(folder, sampler + ".png")
            run([program, "generate", where, "--out", out, "--count", "20", "--steps", str(steps), "--guidance", str(guidance),
                 "--sampler", sampler, "--seed", "3", "--set", "parallel.threads=2"], folder)
            found["generate/" + sampler] = read_png(out)
        run([program, "eval", where, "--set", "parallel.threads=2"], folder)
        with open(os.path.join(where, "eval.json")) as file:
            found.update(figures(json.load(file), "eval"))
    return found


def differences(old, new):
    """(name, what differs), in the order of `old`."""
    for name, value in old.items():
        if name not in new:
            yield name, "is missing"
        elif value != new[name]:
            numbers = isinstance(value, (int, float)) and isinstance(new[name], (int, float))
            yield name, "%r before, %r now" % (value, new[name]) if numbers else "has other numbers"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--root", default=".")
    parser.add_argument("--except", dest="excepted", action="append", default=[])
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--keep")
    parser.add_argument("programs", nargs="*")
    a = parser.parse_args()
    if a.list:
        print("\n".join(t.name for t in TRAININGS))
        return 0

    chosen = [t for t in TRAININGS if not a.only or any(fnmatch.fnmatch(t.name, p) for p in a.only)]
    if not chosen:
        print("compare-builds.sh: --only %s: no such training; see --list" % " ".join(a.only), file=sys.stderr)
        return 2
    try:
        import h5py  # pylint: disable=import-error,unused-import
        read_hdf5 = read_h5py
    except ImportError:
        read_hdf5 = read_h5dump
        if not shutil.which("h5dump"):
            print("compare-builds.sh: h5dump is missing (Debian: hdf5-tools), and so is Python's h5py", file=sys.stderr)
            return 2
    if a.keep and os.path.exists(a.keep):
        print("compare-builds.sh: --keep %s: there is something already; name a new folder" % a.keep, file=sys.stderr)
        return 2

    data = os.path.join(a.root, "tests", "fixtures", "digits")
    work = os.path.abspath(a.keep) if a.keep else tempfile.mkdtemp(prefix="compare-builds-")
    failed, compared, meant = False, 0, 0
    try:
        for training in chosen:
            if training.mpi and not shutil.which("mpirun"):
                print("%s: SKIPPED, no mpirun" % training.name)
                continue
            both = []
            try:
                for which, program in zip(("old", "new"), a.programs):
                    folder = os.path.join(work, which, training.name)
                    both.append(results(program, training, folder, data, read_hdf5))
            except (Failed, subprocess.CalledProcessError, OSError, ValueError, KeyError) as e:
                print("%s: the %s build: %s: %s" % (training.name, "new" if both else "old", type(e).__name__, e))
                failed = True
                continue
            old, new = both
            compared += len(old)
            wrong, excepted = [], []
            for name, what in differences(old, new):
                full = "%s/%s" % (training.name, name)
                (excepted if any(fnmatch.fnmatch(full, p) for p in a.excepted) else wrong).append((full, what))
            print("%s: %d results, %d differ%s" % (training.name, len(old), len(wrong),
                                                 ", %d more are meant to" % len(excepted) if excepted else ""))
            for full, what in wrong[:8]:
                print("  %s %s" % (full, what))
            if len(wrong) > 8:
                print("  and %d more" % (len(wrong) - 8))
            for full, what in excepted[:2]:
                print("  meant: %s %s" % (full, what))
            meant += len(excepted)
            failed = failed or bool(wrong)
            sys.stdout.flush()
    finally:
        if not a.keep:
            shutil.rmtree(work, ignore_errors=True)
    note = ", but for %d that are meant to differ" % meant if meant else ""
    print("THE BUILDS DIFFER" if failed else "same bits: %d results%s" % (compared, note))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
