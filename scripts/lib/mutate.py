"""The work of scripts/mutate.sh, whose --help says what it does."""

import argparse
import difflib
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mutants import body_of, function_bodies, mutants_of
from mutate_build import Build, Stop, read
from mutate_trial import run_test, stopping, try_alone, try_together


def sources_of(root, folder):
    found = []
    for where, _, names in os.walk(os.path.join(root, folder)):
        found += [os.path.relpath(os.path.join(where, n), root) for n in names if n.endswith((".cpp", ".hpp"))]
    return sorted(found)

def known_equivalent(root):
    """(file, line before, line after) of those that tests/equivalent-mutants.txt names."""
    found, entry = set(), []
    path = os.path.join(root, "tests", "equivalent-mutants.txt")
    if not os.path.exists(path):
        return found
    with open(path) as file:
        for line in file:
            if line.startswith("@ "):
                entry = [line[2:].strip()]
            elif line.startswith(("- ", "+ ")) and entry:
                entry.append(line[2:].strip())
                if len(entry) == 3:
                    found.add(tuple(entry))
    return found

def show(mutant, text):
    """The difference, as diff -u shows it."""
    lines = difflib.unified_diff(text.splitlines(), mutant.apply(text).splitlines(), "a/" + mutant.path, "b/" + mutant.path,
                                 lineterm="", n=2)
    return "\n".join("  " + line for line in lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--key", default="1")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--build")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("folder")
    parser.add_argument("count", type=int)
    a = parser.parse_args()
    a.root = os.path.realpath(a.root)
    texts = {path: read(a.root, path) for path in sources_of(a.root, a.folder)}
    mutants = [m for path, text in texts.items() for m in mutants_of(path, text)]
    unique = {m.rank(a.key): m for m in mutants}
    mutants = [unique[rank] for rank in sorted(unique)]
    if a.list:
        try:
            for m in mutants:
                print("%s:%d\n  - %s\n  + %s" % (m.path, m.line, m.before, m.after))
        except BrokenPipeError:  # into head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if not mutants:
        raise Stop("%s: nothing to change in it" % a.folder)
    equivalent = known_equivalent(a.root)

    build = Build(a.root, os.path.realpath(a.build or os.path.join(a.root, "build", "mutate")), a.jobs)
    os.makedirs(os.path.join(build.folder, "mutants"), exist_ok=True)
    last = os.path.join(build.folder, "survivors-%s.json" % a.folder.replace("/", "-"))
    if a.survivors:
        if not os.path.exists(last):
            raise Stop("%s was not measured before; without --survivors it is" % a.folder)
        with open(last) as file:
            again = {tuple(entry) for entry in json.load(file)}
        mutants = [m for m in mutants if (m.path, m.before, m.after) in again]
    began = time.monotonic()
    build.configure()
    tests = build.tests_of(a.folder)
    print("building %d tests of %s in %s" % (len(tests), a.folder, build.folder), flush=True)
    build.make(tests)
    for test in tests:
        failed, test.processor, test.wall = run_test(test, test.command[0], 3600, 3600)
        if failed:
            raise Stop("%s fails without any fault" % test.name)
    tests.sort(key=lambda t: t.processor)
    print("built and run after %.0f s: %s" % (time.monotonic() - began, ", ".join(
        "%s %.1f s" % (t.name, t.processor) for t in tests)), flush=True)

    outcomes, lock = {}, threading.Lock()

    def counted():
        """Of how many the outcome counts. What is tried later is behind in the order, so it is left out if too many."""
        return sum(o[0] in ("caught", "survived") for o in outcomes.values())

    def report(number, outcome):
        with lock:
            outcomes[number] = outcome
            m = mutants[number]
            print("%3d %-16s %s:%d  %s%s" % (counted(), outcome[0], m.path, m.line, (m.after or "(nothing)")[:70],
                                             "  [%s]" % outcome[1] if outcome[1] else ""), flush=True)

    def one(number):
        if not stopping.is_set():
            report(number, try_alone(build, tests, mutants[number]))

    bodies = {path: function_bodies(text) for path, text in texts.items() if path.endswith(".cpp")}
    at = 0
    while counted() < a.count and at < len(mutants):
        # Some more than are needed, for some will not count.
        batch = range(at, min(len(mutants), at + (a.count - counted()) * 11 // 10 + 1))
        at = batch.stop
        together, alone = {}, []
        for number in batch:
            m = mutants[number]
            if (m.path, m.before, m.after) in equivalent:
                report(number, ("named equivalent", ""))
            elif m.path in bodies and body_of(m, bodies[m.path]):
                together.setdefault(m.path, {})[number] = m
            else:
                alone.append(number)
        with ThreadPoolExecutor(a.jobs) as pool:
            # The largest first, so that no job is left alone with one at the end.
            work = [pool.submit(try_together, build, tests, path, numbered, report)
                    for path, numbered in sorted(together.items(), key=lambda entry: -len(entry[1]))]
            work += [pool.submit(one, number) for number in alone]
            try:
                for done in work:
                    done.result()
            except KeyboardInterrupt:
                stopping.set()
                print("interrupted: what runs now is the last (this takes a moment)", flush=True)
        if stopping.is_set():
            break

    totals, survivors = {}, []
    for number in sorted(outcomes):
        if totals.get("caught", 0) + totals.get("survived", 0) == a.count:
            break
        outcome = outcomes[number][0]
        totals[outcome] = totals.get(outcome, 0) + 1
        if outcome == "survived":
            survivors.append(mutants[number])
    with open(last, "w") as file:
        json.dump([(m.path, m.before, m.after) for m in survivors], file)
    caught, all_counted = totals.get("caught", 0), totals.get("caught", 0) + totals.get("survived", 0)
    print()
    for m in survivors:
        print("survived: %s:%d\n%s\n" % (m.path, m.line, show(m, texts[m.path])))
    rest = ", ".join("%d %s" % (n, o) for o, n in sorted(totals.items()) if o not in ("caught", "survived"))
    print("%s%s, key %s: %d of %d caught (%.0f%%) in %.0f s%s" % (
        "interrupted: " if stopping.is_set() else "", a.folder, a.key, caught, all_counted, 100.0 * caught / max(all_counted, 1), time.monotonic() - began,
        "; not counted: " + rest if rest else ""))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as e:
        print("mutate.sh: %s" % e, file=sys.stderr)
        sys.exit(1)
