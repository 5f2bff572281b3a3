"""Trials of scripts/mutate.sh: whether the tests notice a mutant.

Mutants of one file that lie in functions are compiled together (schema() in mutants.py) and chosen when a test starts:
one compilation and a link for all of them. Others are compiled one by one; for one in a header, which then stands in a
folder that is searched first, all that read it and are in the test are compiled.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from mutants import schema
from mutate_build import Stop, read, write_source

ERROR = re.compile(rb": (?:fatal )?error: in |\*\*\* \d+ failure")

stopping = threading.Event()  # no further trial is begun


def run_test(test, program, processor, wall, number=0):
    """Runs a test until its first error; whether it failed, and the processor's and the clock's seconds."""
    folder = tempfile.mkdtemp(prefix="mutant-")
    os.chmod(folder, 0o755)  # some tests look at it as another user
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


def notices(test, program, path, number=0):
    failed, _, _ = run_test(test, program, 5 * test.processor + 5, 20 * test.wall + 60, number)
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
            failed = notices(test, program, mutant.path)
            os.remove(program)
            if failed:
                return "caught", test.name
        return ("survived" if changed else "same code"), ""
    finally:
        shutil.rmtree(work, ignore_errors=True)


def try_together(build, tests, path, mutants, report):
    """Mutants {number: mutant} of one source that lie in its functions; report(number, outcome) as of try_alone."""
    if stopping.is_set():
        return
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
            if stopping.is_set():
                return
            outcome = ("survived", "")
            for test in relevant_to(relevant, set(wanted), path):
                if test.name not in programs:
                    programs[test.name] = os.path.join(work, os.path.basename(test.command[0]))
                    if not build.link(test, {m: o for m, o in objects.items() if m in test.objects}, programs[test.name]):
                        raise Stop("%s does not link with %s" % (test.name, path))
                if notices(test, programs[test.name], path, number + 1):
                    outcome = ("caught", test.name)
                    break
            if outcome[0] == "survived":  # or is it no fault at all?
                outcome = try_alone(build, tests, mutant, run=False)
            report(number, outcome)
    finally:
        shutil.rmtree(work, ignore_errors=True)
