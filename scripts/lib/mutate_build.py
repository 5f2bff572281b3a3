"""The build of scripts/mutate.sh, and how programs with a fault in them are made beside it.

A mutant is never put where the build looks. Its file is compiled on the side, by the command of the build, and each test
that has that file's code in it is linked again with the new object before the libraries, by the command of the build as
well; so several can be tried at a time.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading


class Stop(Exception):
    """The build or the tests are no ground to measure on."""


def output_of(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        raise Stop("%s ended with %d:\n%s" % (" ".join(command), done.returncode, done.stdout[-4000:]))
    return done.stdout

def read(root, path):
    with open(os.path.join(root, path)) as file:
        return file.read()

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
            if re.fullmatch(r"(.*[-/])?(cc|gcc|clang|c\+\+|g\+\+|clang\+\+)(-[\d.]+)?", word):
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
            # LIBRARY's folder and target name its archive: trainer/plan/CMakeFiles/blocktrain_plan.dir/plan.cpp.o
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
