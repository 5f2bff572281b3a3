#!/usr/bin/env bash
# From a fresh clone to generated digits. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/mpi.sh
. "$root/scripts/lib/mpi.sh"

usage() {
  cat <<'TEXT'
usage: scripts/quickstart.sh [OPTIONS]

Installs what is missing (as root on Debian or Ubuntu; elsewhere it says what to ask for), builds, gets 1,797
handwritten digits, trains four blocks of a small network in four processes, measures the quality of the assembled
network, and draws digits with it beside real ones. Needs no GPU; a few minutes on two cores.

  --np N            ranks to train on (default: 4, one per block; any number works)
  --steps N         steps per block (default: those of configs/quickstart.yaml)
  --run DIR         where the run is kept (default: runs/quickstart)
  --set KEY=VALUE   overrides a key of the config; repeat for more
  --end-to-end      also trains the same network end to end and shows it beside
  --skip-install    installs nothing
  -h, --help        this text

An unfinished run in DIR is continued; beside a finished one the new one goes to DIR-2, DIR-3, ...
Ctrl-C or TERM while training saves the run (exit code 75); the same command continues it.
BLOCKTRAIN=/path/to/blocktrain uses that program instead of building one.
With CI=true in the environment, warnings are errors.
Exit codes: 0 success, 1 failed, 2 something is missing or wrong input, 75 interrupted and saved.
TEXT
}

fail() {
  echo "quickstart.sh: $2" >&2
  exit "$1"
}

np=4
run=
steps=
twin=0
install=1
overrides=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --end-to-end) twin=1 ;;
    --skip-install) install=0 ;;
    --np | --steps | --run | --set)
      [ -n "${2:-}" ] || fail 2 "$1 needs a value; see --help"
      case $1 in
        --np) np=$2 ;;
        --steps) steps=$2 ;;
        --run) run=$2 ;;
        --set) overrides+=(--set "$2") ;;
      esac
      shift
      ;;
    *) fail 2 "unknown argument '$1'; see --help" ;;
  esac
  shift
done
[[ $np =~ ^[1-9][0-9]{0,5}$ ]] || fail 2 "--np $np: accepted is a number of ranks from 1"
[[ $steps =~ ^([1-9][0-9]{0,8})?$ ]] || fail 2 "--steps $steps: accepted is a number of steps from 1"
[ -z "$steps" ] || overrides+=(--set "budget.steps=$steps")
case $run in
  "") run=runs/quickstart ;; # in the repository
  /*) ;;
  *) run=$PWD/$run ;;
esac
run=${run%/}
cd "$root" # the configs' paths start here

begin() {
  printf '\n== %s\n' "$1"
  began=$SECONDS
}
end() { printf -- '-- %s s\n' "$((SECONDS - began))"; }

# finished DIR: whether the last word of its ledger is that the run ended well.
finished() {
  grep -E '^\{"type":"run_(start|end)"' "$1/ledger.jsonl" | tail -n 1 | grep -q '"status":"finished"'
}

# choose DIR: sets `chosen` to DIR, or to the first of DIR-2, DIR-3, ... that holds no finished run.
choose() {
  local number=1
  chosen=$1
  while [ -e "$chosen/ledger.jsonl" ] && finished "$chosen"; do
    number=$((number + 1))
    chosen=$1-$number
  done
  [ "$chosen" = "$1" ] || echo "$1 holds a finished run; this one goes to $chosen"
}

# train CONFIG DIR NP
train() {
  local code=0 resume=()
  if [ -e "$2/ledger.jsonl" ]; then
    echo "$2 holds an unfinished run, which is continued"
    resume=(--resume)
  fi
  bt_mpirun "$3" "$blocktrain" train "$1" --set "log.directory=$2" "${overrides[@]}" "${resume[@]}" || code=$?
  [ "$code" != 75 ] || fail 75 "interrupted; $2 is saved, and the same command continues it"
  [ "$code" = 0 ] || exit "$code"
}

if [ "$install" = 1 ]; then
  begin "What blocktrain needs"
  scripts/install-dependencies.sh
  end
fi

begin "Build"
if [ -n "${BLOCKTRAIN:-}" ]; then
  echo "not needed: BLOCKTRAIN is set"
else
  warnings=OFF
  [ "${CI:-}" != true ] || warnings=ON
  cmake --preset release -B build/quickstart -DBLOCKTRAIN_TESTS=OFF -DBLOCKTRAIN_BENCH=OFF -DBLOCKTRAIN_WERROR=$warnings
  cmake --build build/quickstart --target blocktrain -j "$(nproc)"
  BLOCKTRAIN=$root/build/quickstart/blocktrain
fi
blocktrain=$(bt_find_binary)
"$blocktrain" --version
end

begin "Data"
scripts/data/fetch_digits.sh data/digits
end

begin "Training: four blocks, no gradient between them"
choose "$run"
run=$chosen
train configs/quickstart.yaml "$run" "$np"
end

beside=()
if [ "$twin" = 1 ]; then
  begin "Training the same network end to end"
  choose "$run-end-to-end"
  train configs/quickstart-end-to-end.yaml "$chosen" 1
  beside=(--twin "$chosen")
  end
fi

begin "Quality of the assembled network"
"$blocktrain" eval "$run" "${beside[@]}"
end

begin "Pictures"
"$blocktrain" generate "$run" --beside-real --out "$run/samples.png"
end

printf '\n== Done in %s s\n' "$SECONDS"
cat <<TEXT
  generated digits beside real ones   $run/samples.png
  quality, per noise level and whole  $run/eval.json
  every step: loss, tokens, joules    $run/ledger.jsonl
  weights and optimizer state         $run/checkpoints/
  the whole config                    $run/config.yaml
TEXT
[ "$twin" = 0 ] || echo "  the end-to-end run                  $chosen"
echo "Next: $blocktrain plan configs/mnist.yaml, and docs/config.md for every key."
