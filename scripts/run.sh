#!/usr/bin/env bash
# Trains a config on this machine. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/mpi.sh
. "$root/scripts/lib/mpi.sh"

usage() {
  cat <<'TEXT'
usage: scripts/run.sh CONFIG [--np N] [--set KEY=VALUE ...] [--resume] [--quiet]

Trains CONFIG under mpirun on this machine, by default with one rank per block, also where there are fewer cores.
Ctrl-C, TERM and USR1 save the run and end with exit code 75; --resume then continues it. Once more stops at once.

  --np N            ranks (default: as many as the config has blocks; 1 for end-to-end training)
  --set, --resume, --quiet   as of `blocktrain train`
  -h, --help        this text

The program: $BLOCKTRAIN, or the newest build/{release,cuda,quickstart}/blocktrain, or the one in PATH.
Exit codes: those of blocktrain: 0 success, 1 the run failed, 2 wrong input, 75 interrupted and saved.
TEXT
}

fail() {
  echo "run.sh: $1" >&2
  exit 2
}

np=
config=
train=()
overrides=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --np | --set)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help"
      if [ "$1" = --np ]; then np=$2; else overrides+=(--set "$2"); fi
      shift
      ;;
    --set=*) overrides+=(--set "${1#--set=}") ;;
    --resume | --quiet) train+=("$1") ;;
    -*) fail "unknown option '$1'; see --help" ;;
    *) [ -z "$config" ] || fail "one config only; see --help"; config=$1 ;;
  esac
  shift
done
[ -n "$config" ] || fail "which config? For instance configs/quickstart.yaml; see --help"
[[ $np =~ ^([1-9][0-9]{0,5})?$ ]] || fail "--np $np: accepted is a number of ranks from 1"

blocktrain=$(bt_find_binary)
[ -n "$np" ] || np=$(bt_ranks "$blocktrain" "$config" "${overrides[@]}")
printf -v command '%q ' mpirun -np "$np" "$blocktrain" train "$config" "${overrides[@]}" "${train[@]}"
echo "+ ${command% }"
bt_mpirun "$np" "$blocktrain" train "$config" "${overrides[@]}" "${train[@]}"
