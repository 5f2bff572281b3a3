"""Runs the examples in docs/: every ```python block, page by page, and every ```sh block of jq and h5ls.

    snippets_test.py BLOCKTRAIN SOURCE_DIR

They are run in a fresh folder with two short runs, runs/quickstart and its end-to-end twin. Needs pandas and h5py; without
them (or jq, h5ls for their blocks) it says so and is skipped (exit code 77).
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

READERS = {"jq", "h5ls"}  # commands whose blocks are run

# What the pages' tables have to hold: what the rules for readers in docs/ledger.md say, row by row.
JOIN = """
def whole_steps(path):
    changes = {}
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["type"] == "run_start":
                changes = {}
            elif row["type"] == "change":
                changes[row["block"]] = row
            elif row["type"] == "step":
                change = changes[row["block"]]
                yield row["block"], row["step"], row["loss"], change["tokens"], change["ranks"], change["memory"]["planned"]

expected = sorted(whole_steps("runs/quickstart/ledger.jsonl"))
found = steps[["block", "step", "loss", "tokens", "ranks", "memory.planned"]].astype(object).values.tolist()
assert sorted(map(tuple, found)) == expected, (found, expected)
assert len({tuple(row[4]) for row in expected if row[0] == 1}) == 2, "no value changed: the join was not tested"
"""
CHECKS = {"ledger.md": JOIN, "reading-a-run.md": JOIN}


def train(blocktrain, source, folder, config, *overrides):
    command = [blocktrain, "train", str(source / "configs" / config), "--quiet", "--resume"]
    for override in (f"data.path={source}/tests/fixtures/digits", "budget.steps=4", "checkpoint.every_steps=2",
                     "optimizer.warmup_steps=1", "optimizer.decay_steps=4", "eval.every_steps=2", "eval.images=20", "data.batch=16", "parallel.threads=1", *overrides):
        command += ["--set", override]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=100)


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start(1)) + 1, match.group(1)


def run_python(page, folder):
    """All Python of a page in one program, at the lines where it stands."""
    lines = []
    for line, code in blocks(page, "python"):
        lines += [""] * (line - 1 - len(lines)) + code.splitlines()
    if not lines:
        return 0
    lines += CHECKS.get(page.name, "").splitlines()
    program = folder / (page.name + ".py")
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"-- {page.name}", flush=True)
    return subprocess.run([sys.executable, "-W", "error", str(program)], cwd=folder, timeout=100).returncode


def run_shell(page, folder):
    failures = 0
    for line, code in blocks(page, "sh"):
        names = {command.split()[0] for command in code.splitlines() if command and not command[0].isspace()}
        if not names <= READERS:
            continue
        absent = [name for name in names if shutil.which(name) is None]
        if absent:
            print(f"{page.name}:{line} not run, {absent[0]} is not installed")
            continue
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", code], cwd=folder, text=True, timeout=100,
                                stdout=subprocess.PIPE)
        if result.returncode != 0 or not result.stdout.strip():
            print(f"{page.name}:{line} failed with {result.returncode} or printed nothing:\n{code}", file=sys.stderr)
            failures += 1
    return failures


def main():
    try:
        import h5py  # noqa: F401
        import pandas  # noqa: F401
    except ImportError as e:
        print(f"SKIPPED: the examples need pandas and h5py ({e})")
        return 77
    blocktrain, source = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    pages = sorted((source / "docs").glob("*.md"))
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        train(blocktrain, source, folder, "quickstart.yaml", "parallel.ranks=2", "budget.steps=2")
        train(blocktrain, source, folder, "quickstart.yaml", "parallel.ranks=4")  # two sessions, on other ranks
        train(blocktrain, source, folder, "quickstart-end-to-end.yaml")
        tested = 0
        for page in pages:
            tested += sum(1 for _ in blocks(page, "python"))
            failures += run_python(page, folder) != 0
            failures += run_shell(page, folder)
    if tested == 0:
        print("no examples were found: has the form of the pages changed?", file=sys.stderr)
        return 1
    print(f"{tested} Python examples, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
