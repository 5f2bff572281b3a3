#!/usr/bin/env bash
# Whether the tests notice small faults. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: scripts/mutate.sh FOLDER [N] [OPTIONS]

Mutation testing: makes N small faults (default: 60), one at a time, in the sources of FOLDER, runs the tests of that
folder on each, and prints the faults that no test noticed, with file, line and difference, and the share that was
noticed. A test that ought to notice one of them is missing; write it, and try again with --survivors.

FOLDER: blocks, kernels/cpu, trainer/data, ...: its tests are those of the same folder in tests/, or of the nearest one
above it that has some, but for those labelled `emulated`.

The faults: another operator (< for <=, && for ||, + for -), a number one larger or smaller, a condition turned round, true
for false, max for min, a call or an assignment left out. Which of them are taken follows from the key alone, and for one
fault not from what else is in the folder: so a rate can be measured again. Not counted: what does not compile; what
compiles to the same code as before; preconditions (BLOCKTRAIN_EXPECTS), which no right program breaks; what
tests/equivalent-mutants.txt names, with the reason why no test can notice it.

  --key KEY         another key, another sample (default: 1)
  --survivors       only those that survived the last time
  --jobs N          faults tried at a time (default: as many as there are cores)
  --build FOLDER    where it builds (default: build/mutate; kept, so that the next time begins sooner)
  --list            prints the faults in the order they would be tried in, and ends
  -h, --help        this text

Nothing in the working tree is changed: each fault is compiled by itself and linked in place of the file or header it is
in. A test that takes 5 times the processor time it takes otherwise, or waits for long, counts as having noticed.
Ctrl-C ends it with what is known by then.
Exit codes: 0 measured (whatever the rate), 1 the build or a test fails without any fault, 2 wrong arguments.
TEXT
}

fail() {
  echo "mutate.sh: $1" >&2
  exit 2
}

positional=()
options=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --survivors | --list) options+=("$1") ;;
    --key | --jobs | --build)
      [ -n "${2:-}" ] || fail "$1 needs a value; see --help"
      if [ "$1" = --jobs ] && ! [[ $2 =~ ^[1-9][0-9]{0,2}$ ]]; then fail "--jobs $2: accepted is a number from 1"; fi
      options+=("$1=$2")
      shift
      ;;
    -*) fail "unknown argument '$1'; see --help" ;;
    *) positional+=("$1") ;;
  esac
  shift
done
if [ ${#positional[@]} -lt 1 ] || [ ${#positional[@]} -gt 2 ]; then fail "a folder is needed, and perhaps a number; see --help"; fi
folder=${positional[0]#./}
folder=${folder%/}
count=${positional[1]:-60}
[ -d "$root/$folder" ] || fail "$folder: no such folder in the repository"
[[ $count =~ ^[1-9][0-9]{0,5}$ ]] || fail "$count: accepted is a number of faults from 1"
exec python3 "$root/scripts/lib/mutate.py" "--root=$root" "${options[@]}" "$folder" "$count"
