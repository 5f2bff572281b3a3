"""Adds up the results of several test runs: what failed, what was skipped and why, and the counts.

    test_results.py FILE...

A FILE is NAME.xml as written by `ctest --output-junit`, or NAME.tsv with lines of test, passed|failed|skipped, reason.
The last line is `N passed, N failed, N skipped`. Exit code 1 when anything failed or nothing was run.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as tree

OUTCOMES = ("passed", "failed", "skipped")


def reasons(output):
    """What a test says after SKIPPED:, each reason once; a test says so for a part of it that was not run as well."""
    return list(dict.fromkeys(re.findall(r"SKIPPED: *(.*)", output or "")))


def from_junit(path):
    for case in tree.parse(path).getroot().iter("testcase"):
        said = reasons(case.findtext("system-out"))
        skipped = case.find("skipped")
        if skipped is not None and skipped.get("message", "").startswith("SKIP_"):
            yield case.get("name"), "skipped", "; ".join(said) or "it gives no reason"
        elif skipped is not None or case.get("status") == "notrun":
            yield case.get("name"), "failed", "not run: " + (skipped.get("message") if skipped is not None else "why?")
        elif case.get("status") == "disabled":
            yield case.get("name"), "skipped", "disabled"
        elif case.get("status") != "run":
            yield case.get("name"), "failed", ""
        else:
            yield case.get("name"), "passed", "; ".join(said)


def from_tsv(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        name, outcome, reason = line.split("\t")
        yield name, outcome, reason


def main():
    totals = dict.fromkeys(OUTCOMES, 0)
    table, notes = [], {"failed": [], "skipped": [], "passed": []}
    for path in map(pathlib.Path, sys.argv[1:]):
        counts = dict.fromkeys(OUTCOMES, 0)
        for name, outcome, reason in from_junit(path) if path.suffix == ".xml" else from_tsv(path):
            counts[outcome] += 1
            totals[outcome] += 1
            if outcome != "passed" or reason:
                notes[outcome].append(f"  {path.stem}: {name}" + (f" ({reason})" if reason else ""))
        table.append((path.stem, counts))
    print(f"\n{'':10}" + "".join(f"{o:>9}" for o in OUTCOMES))
    for name, counts in table:
        print(f"{name:10}" + "".join(f"{counts[o]:9}" for o in OUTCOMES))
    for outcome, title in (("passed", "Passed, but in part skipped:"), ("skipped", "Skipped:"), ("failed", "Failed:")):
        if notes[outcome]:
            print("\n" + title, *notes[outcome], sep="\n")
    print("\n" + ", ".join(f"{totals[o]} {o}" for o in OUTCOMES))
    return 1 if totals["failed"] or not totals["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
