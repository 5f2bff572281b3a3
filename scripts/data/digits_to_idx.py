#!/usr/bin/env python3
"""Turns the UCI handwritten digits (a CSV file) into the four IDX files that blocktrain reads.

The CSV has one image a line: 64 pixels of an 8x8 image, row by row, each 0..16, then the digit 0..9.
Pixels become round(v * 255 / 16). Which images are held out depends on their line number alone: lines are
ordered by a SHA-256 of the line number, and each digit gives its share of the held-out images, so both
splits have the digits in the same proportions. Only Python's standard library is needed.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import struct
import sys
import tempfile

PIXELS = 64
LEVELS = 16  # largest pixel value in the CSV
DIGITS = 10
LINES = 1797
CSV_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"  # of the unpacked CSV
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


class InputError(Exception):
    """Something handed to this script is wrong; the message says what to do."""


def read_csv(path):
    """Returns [(pixels, digit)], checked, from a CSV file or its .gz."""
    try:
        with open(path, "rb") as f:
            raw = f.read()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError) as e:
        raise InputError(f"{path}: cannot be read ({e}); give digits.csv or digits.csv.gz") from e
    found = hashlib.sha256(raw).hexdigest()
    if found != CSV_SHA256:
        raise InputError(
            f"{path}: is not the expected file: SHA-256 of the unpacked CSV is {found}, expected {CSV_SHA256}; "
            "take digits.csv.gz from scikit-learn, or let fetch_digits.sh do so"
        )
    rows = []
    for number, line in enumerate(raw.decode("ascii").splitlines(), 1):
        values = [int(v) for v in line.split(",")]
        pixels, digit = values[:-1], values[-1]
        if len(pixels) != PIXELS or not all(0 <= p <= LEVELS for p in pixels) or not 0 <= digit < DIGITS:
            raise InputError(f"{path}, line {number}: expected {PIXELS} values 0..{LEVELS} and a digit, found {line!r}")
        rows.append((bytes((p * 255 * 2 + LEVELS) // (LEVELS * 2) for p in pixels), digit))
    if len(rows) != LINES:
        raise InputError(f"{path}: holds {len(rows)} lines, expected {LINES}")
    return rows


def keyed_order(count):
    """Line numbers 0..count-1 in an order that mixes writers and digits and is the same everywhere."""
    return sorted(range(count), key=lambda i: hashlib.sha256(b"blocktrain digits %d" % i).digest())


def take(lines, rows, count):
    """The first lines of `lines`, `count` in all, each digit in its share (largest remainders); and the rest."""
    members = [[i for i in lines if rows[i][1] == d] for d in range(DIGITS)]
    quota = [len(m) * count // len(lines) for m in members]
    by_remainder = sorted(range(DIGITS), key=lambda d: (-(len(members[d]) * count % len(lines)), d))
    for d in by_remainder[: count - sum(quota)]:
        quota[d] += 1
    taken = {i for m, q in zip(members, quota) for i in m[:q]}
    return [i for i in lines if i in taken], [i for i in lines if i not in taken]


def write_gzip(path, data):
    """Writes `data` gzipped; without a time or name inside, so equal data give equal files."""
    with open(path, "wb") as f:
        f.write(gzip.compress(data, 9, mtime=0))
        f.flush()
        os.fsync(f.fileno())


def image_count(path):
    """Images in a gzipped IDX file as written below, or None when it is anything else."""
    try:
        with gzip.open(path, "rb") as f:
            data = f.read()
        if data[3] == 1:
            kind, count = struct.unpack(">II", data[:8])
            return count if kind == 0x801 and len(data) == 8 + count else None
        kind, count, height, width = struct.unpack(">IIII", data[:16])
        return count if kind == 0x803 and len(data) == 16 + count * height * width else None
    except (OSError, EOFError, IndexError, struct.error):
        return None


def complete(directory, train, heldout):
    """True when the folder already holds what would be written."""
    counts = [image_count(os.path.join(directory, name)) for name in FILES]
    return counts == [train, train, heldout, heldout]


def convert(csv, directory, train, heldout):
    if not (train > 0 and heldout > 0 and train + heldout <= LINES):
        raise InputError(f"--train {train} --heldout {heldout}: both must be at least 1, together at most {LINES}")
    if complete(directory, train, heldout):
        print(f"{directory}: already holds {train} training and {heldout} held-out digits; nothing to do")
        return
    if os.path.isdir(directory) and os.listdir(directory):
        raise InputError(f"{directory}: holds something else; give a new or empty folder, or remove it first")
    if csv is None:
        raise InputError("no CSV file given; see --help")
    rows = read_csv(csv)
    held_lines, rest = take(keyed_order(len(rows)), rows, heldout)
    train_lines, _ = take(rest, rows, train)

    parent = os.path.dirname(os.path.abspath(directory))
    os.makedirs(parent, exist_ok=True)
    # Written aside and renamed as a whole: the folder is either absent or complete.
    aside = tempfile.mkdtemp(prefix=".digits-", dir=parent)
    try:
        for lines, images, labels in ((train_lines, FILES[0], FILES[1]), (held_lines, FILES[2], FILES[3])):
            pixels = b"".join(rows[i][0] for i in lines)
            write_gzip(os.path.join(aside, images), struct.pack(">IIII", 0x803, len(lines), 8, 8) + pixels)
            digits = bytes(rows[i][1] for i in lines)
            write_gzip(os.path.join(aside, labels), struct.pack(">II", 0x801, len(lines)) + digits)
        os.chmod(aside, 0o755)
        os.rename(aside, directory)  # replaces an empty folder too
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    print(f"{directory}: wrote {train} training and {heldout} held-out digits, 8x8 grey, {DIGITS} classes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", help="folder to write the four IDX files to")
    parser.add_argument("--csv", help="digits.csv or digits.csv.gz, as scikit-learn ships it")
    parser.add_argument("--train", type=int, default=1500, help="training images (default %(default)s)")
    parser.add_argument("--heldout", type=int, default=297, help="held-out images (default %(default)s)")
    parser.add_argument("--check", action="store_true", help="only say (exit code 0 or 1) whether the folder is complete")
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if complete(arguments.directory, arguments.train, arguments.heldout) else 1
    try:
        convert(arguments.csv, arguments.directory, arguments.train, arguments.heldout)
    except InputError as e:
        print(f"digits_to_idx.py: {e}", file=sys.stderr)
        return 2
    except OSError as e:
        print(f"digits_to_idx.py: cannot write {arguments.directory}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
