"""What folders may include of each other, and which words belong to tasks alone (scripts/check-layers.sh).

The rules are the tables below; all else is how they are looked after.
"""
import os
import re
import sys

# Top folders, and what each may include of the others. kernels/reference/ is for tests and benchmarks alone.
FOLDERS = {
    "kernels": ["kernels"],
    "blocks": ["blocks", "kernels"],
    "comm": ["comm", "kernels"],
    "trainer": ["trainer", "blocks", "comm", "kernels"],
}
# Of kernels/, what comm/ may know: memory and its errors, clocks and threads; no tensor op and no device.
COMM_MAY_KNOW = ["kernels/arena.hpp", "kernels/error.hpp", "kernels/gpu_uuid.hpp", "kernels/names.hpp",
                 "kernels/running_clock.hpp", "kernels/start_thread.hpp", "kernels/tensor.hpp"]
# Libraries' headers that a folder does not see, by how they begin.
NOT_SEEN = {
    "kernels": ["mpi.h", "hdf5", "yaml-cpp/", "nlohmann/"],
    "blocks": ["mpi.h", "hdf5", "yaml-cpp/", "nlohmann/", "fstream", "filesystem"],
    "comm": ["hdf5", "yaml-cpp/"],
    "trainer": ["mpi.h", "nccl.h", "cuda"],
}

# The folders of trainer/ from the bottom up: a file includes what stands in its own unit or on a level below. A level has
# one or more units that do not see each other; a unit is a folder, or files that belong together.
LAYERS = [
    [["support"]],
    [["formats"]],
    # The keys of a part, declared in its folder and joined by config: they know nothing of the part.
    [["checkpoint/checkpoint_config", "coordinator/budget_config", "data/data_config", "eval/eval_config",
      "ledger/energy/energy_config", "plan/parallel_config", "worker/optimizer_config", "tasks/task_entries",
      "tasks/images/image_data_options", "tasks/images/images_options", "tasks/images/data_format",
      "tasks/labels/labels_options", "tasks/labels/image_operations.hpp", "tasks/sampling_steps.hpp",
      "tasks/tokens/tokens_options", "tasks/tokens/token_data_options"]],
    [["config"]],
    [["data"]],
    [["tasks/task.hpp", "tasks/task.cpp", "tasks/generate_arguments.hpp"]],  # what a task is; the tasks stand above
    [["ledger"]],
    [["checkpoint"]],
    [["plan"]],
    [["exchange"]],
    [["run_folder"]],
    [["eval"]],
    [["export"], ["tasks"]],
    [["worker"], ["coordinator"]],
    [["train"]],
    [["commands"]],
    [["main.cpp"]],
]

# What a sample is made of is named in trainer/tasks/ alone: in identifiers, comments and included files. (Not in strings:
# file formats and keys stay what they are.)
TASK_WORDS = {"image", "images", "label", "labels", "labelled", "letter", "letters", "pixel", "pixels"}
WORDS_OUTSIDE = "trainer/tasks/"
EXCEPTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layer_exceptions.txt")

SOURCE = re.compile(r"\.(cpp|hpp|cu|cuh|cpp\.in)$")
INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def sources(root, top):
    for folder, folders, files in os.walk(os.path.join(root, top)):
        folders.sort()
        for name in sorted(files):
            if SOURCE.search(name):
                yield os.path.relpath(os.path.join(folder, name), root)


def layer_of(path):
    """(level, unit) of a file of trainer/, by the longest entry it lies in (an entry without an ending is a
    folder, or the header and source of that name); None where no entry names it."""
    found, length = None, -1
    for level, units in enumerate(LAYERS):
        for unit, entries in enumerate(units):
            for entry in entries:
                whole = "trainer/" + entry
                if (path == whole or path.startswith((whole + "/", whole + "."))) and len(whole) > length:
                    found, length = (level, unit), len(whole)
    return found


def name_of(layer):
    return LAYERS[layer[0]][layer[1]][0]


def include_findings(path, included, library):
    """What is wrong with one include of the file `path`."""
    top = path.split("/")[0]
    if library is not None:
        for start in NOT_SEEN[top]:
            if library.startswith(start):
                yield "includes <%s>; %s/ does not see it" % (library, top)
        return
    for start in NOT_SEEN[top]:
        if included.startswith(start):
            yield 'includes "%s"; %s/ does not see it' % (included, top)
    other = included.split("/")[0]
    if other in ("tests", "bench"):
        yield 'includes "%s"; nothing of the program includes tests or benchmarks' % included
    if other not in FOLDERS:
        return
    if other not in FOLDERS[top]:
        yield 'includes "%s"; %s/ may include %s' % (included, top, ", ".join(f + "/" for f in FOLDERS[top]))
    elif included.startswith("kernels/reference/") and not path.startswith("kernels/reference/"):
        yield 'includes "%s"; kernels/reference/ is for tests and benchmarks' % included
    elif top == "comm" and other == "kernels" and included not in COMM_MAY_KNOW:
        yield 'includes "%s"; of kernels/, comm/ may include %s' % (included, ", ".join(COMM_MAY_KNOW))
    if top != "trainer" or other != "trainer":
        return
    mine, theirs = layer_of(path), layer_of(included)
    if theirs is None:
        yield 'includes "%s", which has no place in the order of trainer/ (LAYERS in check_layers.py)' % included
    elif mine is not None and theirs[0] > mine[0]:
        yield 'includes "%s"; %s stands above %s in trainer/' % (included, name_of(theirs), name_of(mine))
    elif mine is not None and theirs[0] == mine[0] and theirs[1] != mine[1]:
        yield 'includes "%s"; %s and %s do not see each other' % (included, name_of(theirs), name_of(mine))


def without_strings(text):
    """The text with what stands in strings and characters blanked, lines kept; comments stay."""
    token = re.compile(
        r'(?P<keep>//[^\n]*|/\*.*?\*/|^[ \t]*#[ \t]*include[^\n]*)'
        r'|R"(?P<mark>[^ ()\\]*)\(.*?\)(?P=mark)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-zA-Z])'(?:\\.|[^'\\\n])*'", re.DOTALL | re.MULTILINE)
    return token.sub(lambda m: m.group() if m.group("keep") else re.sub(r"[^\n]", " ", m.group()), text)


def words_of(line):
    """Lower-case words of a line: identifiers are taken apart at underscores and capitals."""
    for run in re.findall(r"[A-Za-z]+", line):
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", run):
            yield word.lower()


def read_exceptions(path):
    """{file: (words, line number)} of the list."""
    allowed = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            match = re.fullmatch(r"(\S+): ([a-z, ]+?) -- (\S.*)", line)
            if not match:
                sys.exit("%s:%d: found '%s'; expected 'FILE: WORD, WORD -- REASON'" % (path, number, line))
            allowed[match.group(1)] = (set(re.split(r",\s*", match.group(2))), number)
    return allowed


def check(root):
    findings = []
    exceptions = os.path.join(root, "scripts/lib/layer_exceptions.txt")
    allowed = read_exceptions(exceptions if os.path.exists(exceptions) else EXCEPTIONS)
    used = {path: set() for path in allowed}
    for top in FOLDERS:
        for path in sources(root, top):
            with open(os.path.join(root, path), encoding="utf-8") as source:
                text = source.read()
            for number, line in enumerate(text.splitlines(), 1):
                match = INCLUDE.match(line)
                if match:
                    for what in include_findings(path, match.group(1), match.group(2)):
                        findings.append("%s:%d: %s" % (path, number, what))
            if top != "trainer":
                continue
            if layer_of(path) is None:
                findings.append("%s:1: has no place in the order of trainer/ (LAYERS in check_layers.py)" % path)
            if path.startswith(WORDS_OUTSIDE):
                continue
            for number, line in enumerate(without_strings(text).splitlines(), 1):
                for word in sorted(TASK_WORDS.intersection(words_of(line))):
                    if path in allowed and word in allowed[path][0]:
                        used[path].add(word)
                    else:
                        findings.append("%s:%d: names '%s'; that belongs to %s" % (path, number, word, WORDS_OUTSIDE))
    for path, (words, number) in sorted(allowed.items()):
        for word in sorted(words - used[path]):
            findings.append("scripts/lib/layer_exceptions.txt:%d: %s does not name '%s' any more; take it off the list"
                            % (number, path, word))
    return findings


def main():
    findings = check(sys.argv[1])
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
