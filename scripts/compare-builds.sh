#!/usr/bin/env bash
# Whether two builds compute the same bits. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: scripts/compare-builds.sh OLD_BUILD NEW_BUILD [OPTIONS]

Whether NEW_BUILD computes the same bits as OLD_BUILD, on this machine: both train small networks for 20 steps (block-local
and end to end, on 1 and 2 ranks and threads, one interrupted and resumed), save, export, evaluate and generate. What is
compared are the numbers, not the files: every dataset of every checkpoint, the exported weights and reference outputs,
the pixels of generated images, the figures of eval, the losses of every step. So the new build may write newer
versions of a format, with more keys; a number that the old build wrote and the new one does not is a difference.

OLD_BUILD and NEW_BUILD: build folders that hold `blocktrain`, or the programs themselves. Build both by the same compiler
with the same options.

  --except PATTERN  differences meant to be, by shell pattern, as in 'tiny-*/eval/*' (repeat for more): they are
                    counted and shown, and do not fail
  --only PATTERN    these trainings alone (see --list; repeat for more)
  --keep FOLDER     keep what was trained in FOLDER, a new one
  --list            names the trainings, and ends
  -h, --help        this text

Needs python3, and h5dump (Debian: hdf5-tools) or Python's h5py. Takes a minute or two; the trainings with mpirun are left
out, visibly, where there is no mpirun.
Exit codes: 0 same bits, 1 something differs (the first of each training are named) or a command failed in one of the
builds, 2 wrong arguments or something is missing.
TEXT
}

fail() {
  echo "compare-builds.sh: $1" >&2
  exit 2
}

builds=()
options=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --except | --only | --keep)
      [ -n "${2:-}" ] || fail "$1 needs a value; see --help"
      options+=("$1=$2")
      shift
      ;;
    --list) exec python3 "$root/scripts/lib/compare_builds.py" --list ;;
    -*) fail "unknown argument '$1'; see --help" ;;
    *) builds+=("$1") ;;
  esac
  shift
done
[ ${#builds[@]} = 2 ] || fail "two builds are needed, ${#builds[@]} given; see --help"
programs=()
for build in "${builds[@]}"; do
  [ ! -d "$build" ] || build=${build%/}/blocktrain
  if [ ! -f "$build" ] || [ ! -x "$build" ]; then fail "$build is no program; build it: cmake --build FOLDER --target blocktrain"; fi
  programs+=("$(cd "$(dirname "$build")" && pwd)/${build##*/}")
done
exec python3 "$root/scripts/lib/compare_builds.py" "${options[@]}" --root="$root" "${programs[@]}"
