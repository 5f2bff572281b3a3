"""The work of scripts/mutate.sh, whose --help says what it does.

A mutant is never put where the build looks. Its file is compiled on the side, by the command of the build, and each test
that has that file's code in it is linked again with the new object before the libraries, by the command of the build as
well; so several can be tried at a time. Mutants of one file that lie in functions are compiled together (schema() in
mutants.py) and chosen when a test starts: one compilation and a link for all of them. For a header, which then stands in
a folder that is searched first, all that read it and are in the test are compiled.
"""

import argparse
import difflib
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mutants import body_of, function_bodies, mutants_of, schema

ERROR = re.compile(rb": (?:fatal )?error: in |\*\*\* \d+ failure")


class Stop(Exception):
    """The build or the tests are no ground to measure on."""


def output_of(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        raise Stop("%s ended with %d:\n%s" % (" ".join(command), done.returncode, done.stdout[-4000:]))
    return done.stdout


def sources_of(root, folder):
    found = []
    for where, _, names in os.walk(os.path.join(root, folder)):
        found += [os.path.relpath(os.path.join(where, n), root) for n in names if n.endswith((".cpp", ".hpp"))]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path)) as file:
        return file.read()


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


class Test:
    """A test of the build: one program."""

    def __init__(self, name, command, environment, folder):
        self.name, self.command, self.environment, self.folder = name, command, environment, folder
        self.link = []         # the arguments that link it
        self.objects = set()   # all that is linked into it, relative to the build folder
        self.processor = self.wall = 0.0
        self.caught = {}       # file: how many of its mutants it has noticed


class Build:
    """The build folder, and how things are made in it."""

    def __init__(self, root, folder, jobs):
        self.root, self.folder, self.jobs = root, folder, jobs
        self.lock = threading.Lock()
        self.plain = {}  # object: its bytes without a fault

    def configure(self):
        command = ["cmake", "-S", self.root, "-B", self.folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                   "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DBLOCKTRAIN_MPI=OFF", "-DBLOCKTRAIN_CUDA=OFF",
                   "-DBLOCKTRAIN_BENCH=OFF"]
        if shutil.which("ld.lld"):
            command.append("-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld")
        output_of(command)

    def tests_of(self, folder):
        """Tests that were added in tests/FOLDER, or in the nearest folder above that has some."""
        listed = json.loads(output_of(["ctest", "--show-only=json-v1"], cwd=self.folder))
        graph = listed["backtraceGraph"]
        at = folder
        while True:
            added_in = os.path.join(self.root, "tests", at, "CMakeLists.txt")
            found = [t for t in listed["tests"] if self.added_in(graph, t["backtrace"]) == added_in]
            if found or not os.path.dirname(at):
                break
            at = os.path.dirname(at)
        tests = []
        for t in found:
            properties = {p["name"]: p["value"] for p in t["properties"]}
            if "emulated" in properties.get("LABELS", []):
                continue
            command = self.command_of(at, t["name"])
            if not command[0].startswith(self.folder + "/"):
                print("not run: %s, which is no program of the build" % t["name"])
                continue
            environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
            tests.append(Test(t["name"], command, environment, properties.get("WORKING_DIRECTORY", self.folder)))
        if not tests:
            raise Stop("%s: no tests were added in tests/%s" % (folder, folder))
        return tests

    @staticmethod
    def added_in(graph, node):
        """The CMakeLists.txt that a test was added by, through whatever functions."""
        while "parent" in graph["nodes"][node]:
            node = graph["nodes"][node]["parent"]
        return os.path.normpath(graph["files"][graph["nodes"][node]["file"]])

    def command_of(self, folder, name):
        """ctest leaves out the command of a program that is not built yet; its file has it."""
        listed = read(self.folder, os.path.join("tests", folder, "CTestTestfile.cmake"))
        match = re.search(r"^add_test\((?:\[=\[)?%s(?:\]=\])? (.*)\)$" % re.escape(name), listed, re.MULTILINE)
        return shlex.split(match.group(1)) if match else [""]

    def make(self, tests):
        targets = [os.path.relpath(t.command[0], self.folder) for t in tests]
        output_of(["ninja", "-C", self.folder, "-j", str(self.jobs)] + targets)
        self.compile_commands = {}
        with open(os.path.join(self.folder, "compile_commands.json")) as file:
            for entry in json.load(file):
                command = self.from_compiler(shlex.split(entry["command"]))
                made = command[command.index("-o") + 1]
                self.compile_commands[os.path.relpath(os.path.join(entry["directory"], made), self.folder)] = (
                    command, os.path.normpath(os.path.join(entry["directory"], entry["file"])))
        self.readers = self.headers()
        for test, target in zip(tests, targets):
            # "first && link && then", of which Ninja's first and then are ":".
            commands = output_of(["ninja", "-C", self.folder, "-t", "commands", "-s", target]).strip().splitlines()[-1]
            link = next(part for part in commands.split(" && ") if " -o " in part)
            test.link = self.from_compiler(shlex.split(link))
            test.objects = self.members(test, target)

    @staticmethod
    def from_compiler(words):
        """A command without what stands before the compiler, such as ccache."""
        for i, word in enumerate(words):
            if re.fullmatch(r"(.*[-/])?(c\+\+|g\+\+|clang\+\+)(-[\d.]+)?", word):
                return words[i:]
        raise Stop("no compiler in: " + " ".join(words))

    def headers(self):
        """Objects that read each file of the repository."""
        readers, made = {}, None
        for line in output_of(["ninja", "-C", self.folder, "-t", "deps"]).splitlines():
            if line and not line[0].isspace():
                made = line.split(":")[0]
            elif line.strip():
                path = os.path.relpath(os.path.normpath(os.path.join(self.folder, line.strip())), self.root)
                readers.setdefault(path, set()).add(made)
        return readers

    def members(self, test, target):
        """What the linker takes for a test: its own objects, and those of the libraries that it needs."""
        out = os.path.join(self.folder, "mutate-traced")
        command = test.link[:]
        command[command.index("-o") + 1] = out
        traced = output_of(command + ["-Wl,--trace,--trace"], cwd=self.folder)
        os.remove(out)
        found = {w for w in test.link if w.endswith(".o") and w in self.compile_commands}
        by_member = {}
        for made in self.compile_commands:
            # LIBRARY's folder and target name its archive: trainer/run/CMakeFiles/blocktrain_run.dir/train.cpp.o
            match = re.fullmatch(r"(.*?)CMakeFiles/([^/]+)\.dir/(.*)", made)
            if match:
                archive = os.path.normpath(os.path.join(match.group(1), "lib%s.a" % match.group(2)))
                by_member.setdefault((archive, os.path.basename(made)), made)
        for line in traced.splitlines():
            match = re.fullmatch(r"\(?([^()]+\.a)[()]\(?([^()]+?)\)?", line.strip())
            if match:
                made = by_member.get((os.path.normpath(match.group(1)), match.group(2)))
                if made:
                    found.add(made)
        if not found:
            raise Stop("what %s is linked of is not understood:\n%s" % (target, traced[:2000]))
        return found

    def compile(self, made, to, source, overlay=None):
        """Compiles `source` as the object `made` is, into `to`; None, or what the compiler said."""
        command, original = self.compile_commands[made]
        command = command[:]
        for i, word in enumerate(command):
            if i > 0 and (word == original or os.path.normpath(os.path.join(self.folder, word)) == original):
                command[i] = source
        at = command.index("-o") + 1
        command[at] = to
        for flag in ("-MD", "-MMD"):
            if flag in command:
                command.remove(flag)
        for flag in ("-MF", "-MT"):
            if flag in command:
                at = command.index(flag)
                del command[at:at + 2]
        before = ["-I" + overlay] if overlay else []
        before += ["-iquote", os.path.dirname(original), "-w"]
        done = subprocess.run(command[:1] + before + command[1:], cwd=self.folder, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        return None if done.returncode == 0 else done.stderr

    def link(self, test, replaced, to):
        """Links a test with other objects in place of some of its own: {object: file}. Whether it did."""
        replaced = dict(replaced)
        command = [replaced.pop(w, w) for w in test.link]
        command[command.index("-o") + 1] = to
        # Before the libraries, whose member is then not asked for.
        at = next(i for i, w in enumerate(command) if w.endswith(".o"))
        command[at:at] = sorted(replaced.values())
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def object_without_fault(self, made, work):
        """The bytes of an object compiled as a mutant is, from the source as it stands."""
        with self.lock:
            if made in self.plain:
                return self.plain[made]
        original = self.compile_commands[made][1]
        text = read(self.root, os.path.relpath(original, self.root))
        source, to = os.path.join(work, "plain.cpp"), os.path.join(work, "plain.o")
        write_source(source, original, text)
        said = self.compile(made, to, source)
        if said is not None:
            raise Stop("%s does not compile on the side:\n%s" % (original, said[-2000:]))
        with open(to, "rb") as file:
            data = file.read()
        with self.lock:
            self.plain[made] = data
        return data


def write_source(path, original, text):
    """Messages and preconditions name the original."""
    with open(path, "w") as file:
        file.write('#line 1 "%s"\n%s' % (original, text))


def run_test(test, program, work, processor, wall, number=0):
    """Runs a test until its first error; whether it failed, and the processor's and the clock's seconds."""
    folder = tempfile.mkdtemp(dir=work)
    environment = dict(os.environ, **test.environment)
    environment.update(TMPDIR=folder, BOOST_TEST_LOG_LEVEL="error", BOOST_TEST_CATCH_SYSTEM_ERRORS="no",
                       BLOCKTRAIN_MUTANT=str(number), OMP_WAIT_POLICY="passive")

    def limits():
        os.setsid()
        seconds = int(processor) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen([program] + test.command[1:], cwd=test.folder, env=environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limits)

    def end():
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    timer = threading.Timer(wall, end)
    timer.start()
    failed = False
    for line in child.stdout:
        if ERROR.search(line):
            failed = True
            break
    if failed:
        end()
    code = child.wait()
    timer.cancel()
    end()  # what it may have left behind
    child.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return failed or code not in (0, 77), used, time.monotonic() - began


def relevant_to(tests, wanted, path):
    """Tests with one of the objects in them: those that noticed faults of this file first, then the quickest."""
    found = [t for t in tests if t.objects & wanted]
    return sorted(found, key=lambda t: (-t.caught.get(path, 0), t.processor))


def notices(test, program, work, path, number=0):
    failed, _, _ = run_test(test, program, work, 5 * test.processor + 5, 20 * test.wall + 60, number)
    if failed:
        test.caught[path] = test.caught.get(path, 0) + 1
    return failed


def try_alone(build, tests, mutant, run=True):
    """(outcome, what noticed it): outcome is caught, survived, "does not compile", "same code" or "in no test". Without
    `run` all that compile to other code survive."""
    work = tempfile.mkdtemp(prefix="mutant-", dir=os.path.join(build.folder, "mutants"))
    try:
        text = mutant.apply(read(build.root, mutant.path))
        original = os.path.join(build.root, mutant.path)
        if mutant.path.endswith(".cpp"):
            wanted, overlay = {m for m, c in build.compile_commands.items() if c[1] == original}, None
        else:
            wanted, overlay = build.readers.get(mutant.path, set()), os.path.join(work, "overlay")
            shadow = os.path.join(overlay, mutant.path)
            os.makedirs(os.path.dirname(shadow))
            write_source(shadow, original, text)
        relevant = relevant_to(tests, wanted, mutant.path)
        if not relevant:
            return "in no test", ""
        compiled, changed = {}, False
        for test in relevant:
            for made in sorted(test.objects & wanted):
                if made in compiled:
                    continue
                to, source = os.path.join(work, "%d.o" % len(compiled)), os.path.join(work, "source.cpp")
                # Named alike, for the name is in what is compared.
                of = build.compile_commands[made][1]
                write_source(source, of, text if not overlay else read(build.root, os.path.relpath(of, build.root)))
                if build.compile(made, to, source, overlay) is not None:
                    return "does not compile", ""
                with open(to, "rb") as file:
                    same = file.read() == build.object_without_fault(made, work)
                compiled[made] = None if same else to
                changed = changed or not same
            replaced = {m: compiled[m] for m in test.objects & wanted if compiled[m]}
            if not replaced or not run:
                continue
            program = os.path.join(work, os.path.basename(test.command[0]))
            if not build.link(test, replaced, program):
                return "does not compile", ""
            failed = notices(test, program, work, mutant.path)
            os.remove(program)
            if failed:
                return "caught", test.name
        return ("survived" if changed else "same code"), ""
    finally:
        shutil.rmtree(work, ignore_errors=True)


def try_together(build, tests, path, mutants, report):
    """Mutants {number: mutant} of one source that lie in its functions; report(number, outcome) as of try_alone."""
    work = tempfile.mkdtemp(prefix="mutants-", dir=os.path.join(build.folder, "mutants"))
    try:
        text, original = read(build.root, path), os.path.join(build.root, path)
        wanted = sorted(m for m, c in build.compile_commands.items() if c[1] == original)
        relevant = relevant_to(tests, set(wanted), path)
        if not relevant:
            for number in mutants:
                report(number, ("in no test", ""))
            return
        mutants = dict(mutants)
        source, objects = os.path.join(work, "source.cpp"), {}
        while mutants and len(objects) < len(wanted):
            made = wanted[len(objects)]
            with open(source, "w") as file:
                # A number of a whole run may be large; a body asks for those of this file alone.
                file.write(schema(original, text, {n + 1: m for n, m in mutants.items()}))
            to = os.path.join(work, "%d.o" % len(objects))
            said = build.compile(made, to, source)
            if said is None:
                objects[made] = to
                continue
            wrong = {int(n) - 1 for n in re.findall(r"^mutant-(\d+):[\d:]* (?:fatal )?error", said, re.MULTILINE)} & set(mutants)
            if not wrong:  # not of one of them: each by itself
                for number, mutant in mutants.items():
                    report(number, try_alone(build, tests, mutant))
                return
            for number in wrong:
                del mutants[number]
                report(number, ("does not compile", ""))
            objects = {}
        programs = {}
        for number, mutant in mutants.items():
            outcome = ("survived", "")
            for test in relevant_to(relevant, set(wanted), path):
                if test.name not in programs:
                    programs[test.name] = os.path.join(work, os.path.basename(test.command[0]))
                    if not build.link(test, {m: o for m, o in objects.items() if m in test.objects}, programs[test.name]):
                        raise Stop("%s does not link with %s" % (test.name, path))
                if notices(test, programs[test.name], work, path, number + 1):
                    outcome = ("caught", test.name)
                    break
            if outcome[0] == "survived":  # or is it no fault at all?
                outcome = try_alone(build, tests, mutant, run=False)
            report(number, outcome)
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
        failed, test.processor, test.wall = run_test(test, test.command[0], os.path.join(build.folder, "mutants"), 3600, 3600)
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
            work += [pool.submit(lambda n=number: report(n, try_alone(build, tests, mutants[n]))) for number in alone]
            for done in work:
                done.result()

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
    print("%s, key %s: %d of %d caught (%.0f%%) in %.0f s%s" % (
        a.folder, a.key, caught, all_counted, 100.0 * caught / max(all_counted, 1), time.monotonic() - began,
        "; not counted: " + rest if rest else ""))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as e:
        print("mutate.sh: %s" % e, file=sys.stderr)
        sys.exit(1)
