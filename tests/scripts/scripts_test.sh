#!/usr/bin/env bash
# The scripts by themselves: their help and refusals, what install-dependencies.sh says and does not do, that digits are
# fetched once, and that scripts/run.sh and scripts/quickstart.sh save when they are told to stop.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scripts=$source_dir/scripts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/a folder"
cd "$work/a folder" # paths with blanks, and not the repository
failures=0

fail() {
  echo "FAILED: $1" >&2
  [ ! -s log ] || tail -n 15 log >&2
  failures=$((failures + 1))
}

# expect CODE COMMAND...: runs it, its output to log.
expect() {
  local code=0 expected=$1
  shift
  "$@" >log 2>&1 </dev/null || code=$?
  [ "$code" = "$expected" ] || fail "$* ended with $code, not $expected"
}

# says TEXT: whether the command before said so.
says() { grep -qF -- "$1" log || fail "not said: $1"; }

# within SECONDS COMMAND...: tries until it succeeds; false when the time is over.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

help_and_refusals() {
  local script
  for script in install-dependencies quickstart run test lint gpu-check compare-builds mutate data/fetch_digits; do
    expect 0 "$scripts/$script.sh" --help
    says "usage: scripts/$script.sh"
    expect 2 "$scripts/$script.sh" --no-such-option
    says "--no-such-option"
  done
  expect 2 "$scripts/compare-builds.sh" one
  expect 2 "$scripts/compare-builds.sh" no-such-build "$PWD"
  says "no-such-build"
  expect 2 "$scripts/mutate.sh"
  expect 2 "$scripts/mutate.sh" no/such/folder
  expect 2 "$scripts/mutate.sh" blocks sixty
  expect 0 "$scripts/mutate.sh" blocks 5 --list
  says "blocks/sampler.cpp"
  expect 2 "$scripts/run.sh"
  expect 2 "$scripts/run.sh" config.yaml --np 0
  expect 2 "$scripts/quickstart.sh" --steps 1e3
  expect 2 "$scripts/quickstart.sh" --np
  expect 2 "$scripts/test.sh" --fuzz-seconds -1
  expect 2 env BLOCKTRAIN=/no/such/program "$scripts/run.sh" "$source_dir/configs/quickstart.yaml"
  says "/no/such/program"
}

# Programs that end as their names say, in place of a build, a GPU and NVIDIA's tools.
gpu_check() {
  local check=$scripts/gpu-check.sh
  mkdir -p "built here/tests" tools
  stand_in() {
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod +x "$1"
  }
  expect 2 "$check" --bin "no such folder"
  says "cmake --preset cuda"
  expect 2 "$check" --minutes soon
  expect 2 "$check" --bin "built here" dance
  says "unknown part 'dance'"
  stand_in tools/nvidia-smi "exit 9"
  expect 2 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" facts
  says "finds no GPU"

  stand_in tools/nvidia-smi "echo a GPU"
  # shellcheck disable=SC2016  # the stand-in expands them
  stand_in tools/compute-sanitizer 'echo "$@"; while [ "${1#--}" != "$1" ]; do shift 2; done; exec "$@"'
  stand_in "built here/tests/kernels_good" "exit 0"
  stand_in "built here/tests/kernels_bad" "echo two and two is five; exit 201"
  stand_in "built here/tests/kernels_emulated_good" "exit 1"
  stand_in "built here/tests/run_gpu" "exit 77"
  stand_in "built here/tests/eval_gpu" "echo SKIPPED: one part of it"
  expect 1 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" facts tests memcheck
  says "two and two is five"
  says "3 passed, 2 failed, 7 skipped, 0 out of time"
  grep -q '^passed .* tests/kernels_good$' "what came out/summary.txt" || fail "a test that passed is not in the summary"
  grep -q '^failed .* memcheck/kernels_bad$' "what came out/summary.txt" || fail "a test that failed is not in the summary"
  grep -q '^skipped .* tests/run_gpu$' "what came out/summary.txt" || fail "a skipped test is not in the summary"
  grep -q '^skipped .* tests/eval_gpu$' "what came out/summary.txt" || fail "a test that left out a part passed"
  grep -q -- '--tool memcheck .*--error-exitcode' "what came out/memcheck/kernels_good.txt" || fail "no sanitizer was used"
  rm "built here/tests/kernels_bad"
  expect 0 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" tests
  # What takes too long is stopped, and counts.
  stand_in "built here/tests/kernels_slow" "sleep 300"
  stand_in tools/timeout 'shift 3; exec /usr/bin/timeout -k 1 0.2 "$@"'
  expect 1 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" tests
  says "1 out of time"
}

dependencies() {
  # Nothing is found by pkg-config here, so what it should find is missing; a dry run only says so.
  expect 0 env PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH= "$scripts/install-dependencies.sh" --dry-run
  says "libpng-dev"
  says "apt-get install --no-install-recommends"
  says "spack install"
  if [ "$(id -u)" -eq 0 ]; then
    # Without root it says the same, and that something required is missing.
    cp "$scripts/install-dependencies.sh" "$work/copy.sh"
    chmod 755 "$work" "$work/copy.sh"
    expect 2 setpriv --reuid 65534 --clear-groups env PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH= "$work/copy.sh"
    says "libpng-dev"
  fi
}

digits() {
  echo "0,1,2" >digits.csv
  expect 2 "$scripts/data/fetch_digits.sh" --csv digits.csv "the digits"
  says "is not the expected file"
  expect 2 "$scripts/data/fetch_digits.sh" --csv nowhere.csv "the digits"
  [ ! -e "the digits" ] || fail "a wrong file left something behind"
  if ! digits_are_there; then
    echo "SKIPPED: fetching digits twice: none in data/digits (scripts/data/fetch_digits.sh)"
    return
  fi
  cp -a "$source_dir/data/digits" "the digits"
  expect 0 "$scripts/data/fetch_digits.sh" "the digits"
  says "nothing to do"
  diff -r "$source_dir/data/digits" "the digits" >/dev/null || fail "fetching again changed the digits"
}
digits_are_there() { python3 "$scripts/data/digits_to_idx.py" --check "$source_dir/data/digits" >/dev/null; }

# scripts/test.sh in a project of four tests, of which one fails, one is skipped and one says that it left out a part.
counts() {
  if ! command -v ninja >/dev/null; then
    echo "SKIPPED: scripts/test.sh: ninja is not installed"
    return
  fi
  mkdir -p project/scripts project/tests/fuzz
  cp -R "$scripts/lib" "$scripts/test.sh" project/scripts
  cp "$source_dir/CMakePresets.json" project
  cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.22)
project(counted LANGUAGES NONE)
enable_testing()
add_custom_target(blocktrain_tests)
add_test(NAME good COMMAND sh -c "exit 0")
add_test(NAME bad COMMAND sh -c "exit 3")
add_test(NAME absent COMMAND sh -c "echo SKIPPED: no thing here; exit 77")
add_test(NAME part COMMAND sh -c "echo SKIPPED: half of it")
set_tests_properties(absent PROPERTIES SKIP_RETURN_CODE 77)
CMAKE
  expect 1 project/scripts/test.sh --quick
  [ "$(tail -n 1 log)" = "2 passed, 1 failed, 1 skipped" ] || fail "wrong counts: $(tail -n 1 log)"
  says "release: absent (no thing here)"
  says "release: part (half of it)"
  says "release: bad"
  sed -i 's/exit 3/exit 0/' project/CMakeLists.txt
  expect 0 project/scripts/test.sh --presets "release debug" --fuzz-seconds 0
  [ "$(tail -n 1 log)" = "6 passed, 0 failed, 2 skipped" ] || fail "wrong counts: $(tail -n 1 log)"
  echo 'message(FATAL_ERROR "cannot be configured")' >>project/CMakeLists.txt
  expect 1 project/scripts/test.sh --quick
  [ "$(tail -n 1 log)" = "0 passed, 1 failed, 0 skipped" ] || fail "wrong counts: $(tail -n 1 log)"
}

tiny=(--set "data.path=$source_dir/tests/fixtures/digits" --set data.batch=8 --set model.width=16
  --set optimizer.decay_steps=0 --set parallel.threads=1)
gone() { ! kill -0 "$1"; }
has_steps() { grep -q '"type":"step"' "$1/ledger.jsonl"; }

# stops_and_saves DIR COMMAND...: TERM to the script makes it save DIR and end with 75.
stops_and_saves() {
  local run=$1 code=0 pid
  shift
  "$@" >log 2>&1 </dev/null &
  pid=$!
  within 60 has_steps "$run" || fail "$run does not train"
  kill -TERM "$pid"
  within 60 gone "$pid" || { fail "$1 goes on after TERM"; kill -TERM "$pid"; } # the second one ends it
  wait "$pid" || code=$?
  [ "$code" = 75 ] || fail "after TERM $1 ended with $code, not 75"
  says "saving"
  grep -q '"status":"interrupted"' "$run/ledger.jsonl" || fail "$run was not saved"
}

training() {
  local total run="$work/a folder/a run"
  local train=("$scripts/run.sh" "$source_dir/configs/quickstart.yaml" "${tiny[@]}" --set "log.directory=a run")
  stops_and_saves "$run" "${train[@]}" --set budget.steps=100000000
  says "mpirun -np 4" # one rank per block
  total=$(python3 - "$run" <<'PYTHON'
import json, sys
print(20 + max(row["step"] for row in map(json.loads, open(sys.argv[1] + "/ledger.jsonl")) if row["type"] == "checkpoint"))
PYTHON
  )
  expect 2 "${train[@]}" --set "budget.steps=$total" # not without --resume
  expect 0 "${train[@]}" --set "budget.steps=$total" --resume --np 3
  says "mpirun -np 3"
  grep -q '"status":"finished"' "$run/ledger.jsonl" || fail "the run did not finish"
}

quickstart() {
  local first="$work/a folder/first"
  mkdir -p "$first"
  cp "$run_of_training/ledger.jsonl" "$first/" # a finished run
  stops_and_saves "$work/a folder/first-2" "$scripts/quickstart.sh" --skip-install --run first --steps 100000000 "${tiny[@]}"
  says "first-2"
}

help_and_refusals
gpu_check
dependencies
digits
counts
if [ -z "${BLOCKTRAIN:-}" ] || ! command -v mpirun >/dev/null; then
  echo "SKIPPED: training by scripts/run.sh and scripts/quickstart.sh: no program with MPI"
else
  training
  run_of_training="$work/a folder/a run"
  if digits_are_there; then
    quickstart
  else
    echo "SKIPPED: scripts/quickstart.sh: no digits in data/digits (scripts/data/fetch_digits.sh)"
  fi
fi
[ "$failures" = 0 ] || exit 1
echo "no errors"
