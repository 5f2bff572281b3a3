#!/usr/bin/env bash
# What only a GPU can show: that everything works on this one, and how fast. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: scripts/gpu-check.sh [OPTIONS] [PART ...]

Checks and measures blocktrain on this machine's GPU, part by part (all of them, in this order, when none is named):

  facts      the GPU, its libraries, and what `blocktrain doctor` says
  operations every operation beside the reference
  tests      all else that is tested on a GPU: trainings, evaluations, NCCL, energy
  train      200 steps of configs/dit-s-2-cifar100.yaml and of its end-to-end twin: planned beside used memory, joules
  kernels    operations that memory bounds beside a copy, attention and products beside cuDNN and cuBLASLt called alone
  graphs     steps of small networks with CUDA graphs and without
  swap       a step of a block alone, and of four blocks that take turns on one GPU
  steps      steps of DiT-S/2, L/2 and XL/2 beside PyTorch's, end to end and block-local
  memcheck, racecheck, synccheck, initcheck
             the operations' tests, and with memcheck whole trainings, under that tool of compute-sanitizer

  --bin FOLDER     build folder with the CUDA kernels and the tests (default: build/cuda)
  --out FOLDER     where everything is kept (default: gpu-check); summary.txt says what passed, failed, was skipped
  --data FOLDER    CIFAR-100 in its binary version, for `train` (default: data/cifar100)
  --python PYTHON  a Python that has PyTorch for CUDA, for `graphs` and `steps` (default: python3)
  --minutes N      begins nothing after N minutes, and stops what runs then (default: 60)
  --seconds N      stops each check after N seconds (default: 540)
  -h, --help       this text

Exit codes: 0 nothing failed, 1 something failed or was not reached in time, 2 no GPU, no build, or wrong arguments.
TEXT
}

fail() {
  echo "gpu-check.sh: $1" >&2
  exit 2
}

all="facts operations tests train kernels graphs swap steps memcheck racecheck synccheck initcheck"
bin=build/cuda out=gpu-check data=data/cifar100 python=python3 minutes=60 seconds=540 parts=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --bin | --out | --data | --python | --minutes | --seconds)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    -*) fail "unknown option '$1'; see --help" ;;
    *)
      [[ " $all " == *" $1 "* ]] || fail "unknown part '$1'; there are: $all"
      parts="$parts $1"
      ;;
  esac
  shift
done
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || fail "--minutes $minutes: accepted is a number from 1"
[[ $seconds =~ ^[1-9][0-9]{0,4}$ ]] || fail "--seconds $seconds: accepted is a number from 1"
[ -d "$bin" ] || fail "there is no folder '$bin'; build first: cmake --preset cuda && cmake --build build/cuda"
nvidia-smi -L >/dev/null 2>&1 || fail "nvidia-smi finds no GPU here; see blocktrain doctor"
deadline=$((SECONDS + 60 * minutes))
mkdir -p "$out"
out=$(cd "$out" && pwd)
: >"$out/summary.txt"
export BLOCKTRAIN_TEST_SOURCE_DIR=$root BLOCKTRAIN_TEST_DATA=${BLOCKTRAIN_TEST_DATA:-$root/../shared/data}
export BOOST_TEST_LOG_LEVEL=message PYTHONDONTWRITEBYTECODE=1
# Behind the system's own: NCCL may have come with PyTorch alone.
nccl=$("$python" -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0] + "/lib")' 2>/dev/null) || nccl=
[ -z "$nccl" ] || export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$nccl

# note OUTCOME SECONDS NAME: a line of the summary.
note() { printf '%-8s %5s s  %s\n' "$@" | tee -a "$out/summary.txt"; }

# check NAME COMMAND...: runs it until the deadline, what it says to OUT/NAME.txt. A test ends with 77 when it skipped.
check() {
  local name=$1 began=$SECONDS code=0 left=$((deadline - SECONDS))
  shift
  mkdir -p "$(dirname "$out/$name")"
  if [ "$left" -le 0 ]; then
    note late 0 "$name"
    return
  fi
  [ "$left" -le "$seconds" ] || left=$seconds
  timeout -k 10 "$left" "$@" >"$out/$name.txt" 2>&1 </dev/null || code=$?
  # Tests of operations pass without a GPU; what they leave out then, they say.
  if [ "$code" = 0 ] && grep -q 'SKIPPED:' "$out/$name.txt"; then code=77; fi
  case $code in
    0) note passed $((SECONDS - began)) "$name" ;;
    77) note skipped $((SECONDS - began)) "$name" ;;
    124 | 137) note late $((SECONDS - began)) "$name" ;;
    *)
      note failed $((SECONDS - began)) "$name"
      tail -n 5 "$out/$name.txt" | sed 's/^/    /'
      ;;
  esac
}

# program NAME: its path in the build.
program() { find -L "$bin" -type f -perm -u+x -name "$1" -print -quit; }

# check_program CHECK PROGRAM ARGUMENT...: check, skipped where the build lacks the program.
check_program() {
  local name=$1 path
  path=$(program "$2")
  shift 2
  if [ -n "$path" ]; then check "$name" "$path" "$@"; else note skipped 0 "$name: not in $bin"; fi
}

# suites PATTERN: those of gpu_tests, one for each source of its tests, whose names match.
suites() {
  "$(program gpu_tests)" --list_content 2>&1 | sed -n 's/^\([a-z][a-z0-9_]*\)\*\{0,1\}$/\1/p' | grep -E "$1" || true
}

# test_suites PART PATTERN [COMMAND...]: each of the suites by itself, under COMMAND.
test_suites() {
  local part=$1 pattern=$2 path suite names
  shift 2
  path=$(program gpu_tests)
  if [ -z "$path" ]; then
    note skipped 0 "$part: gpu_tests is not in $bin"
    return
  fi
  mapfile -t names < <(suites "$pattern")
  if [ ${#names[@]} -eq 0 ]; then
    note failed 0 "$part: $path has no suite that matches $pattern"
    return
  fi
  for suite in "${names[@]}"; do
    check "$part/${suite%_test}" "$@" "$path" "--run_test=$suite"
    if grep -qi 'device not supported' "$out/$part/${suite%_test}.txt" 2>/dev/null; then
      note skipped 0 "$part: compute-sanitizer does not support this device"
      return
    fi
  done
}

# sanitized TOOL PATTERN: the suites under a tool of compute-sanitizer.
sanitized() {
  local tool=$1 sanitizer options=()
  # What CUDA's calls return is looked at where they are made, and "not ready yet" is an answer.
  [ "$tool" != memcheck ] || options=(--report-api-errors no)
  # Both report hazards inside cuDNN's kernels on Hopper, and synccheck then breaks them off.
  [[ $tool != racecheck && $tool != synccheck ]] || options=(--kernel-name-exclude kns=cudnn)
  sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) || {
    note skipped 0 "$tool: no compute-sanitizer"
    return
  }
  test_suites "$tool" "$2" "$sanitizer" --tool "$tool" "${options[@]}" --error-exitcode 86
}

# step NAME ARGUMENT...: rows of training steps by blocktrain alone, in bfloat16.
step() {
  local name=$1
  shift
  check_program "$name" bench_step --cuda --bfloat16 --rows 5 "$@"
}

part_facts() {
  check facts/nvidia-smi nvidia-smi -q
  check_program facts/doctor blocktrain doctor
}

part_operations() { test_suites operations '^kernels_'; }
part_tests() { test_suites tests '^(comm|trainer)_'; }

part_memcheck() { sanitized memcheck '^kernels_|^trainer_train_gpu_test$'; }
part_racecheck() { sanitized racecheck '^kernels_'; }
part_synccheck() { sanitized synccheck '^kernels_'; }
part_initcheck() { sanitized initcheck '^kernels_'; }

part_train() {
  local config
  if [ ! -d "$data" ]; then
    note skipped 0 "train: no data in '$data'; see --data"
    return
  fi
  for config in dit-s-2-cifar100 dit-s-2-cifar100-end-to-end; do
    rm -rf "$out/train/$config"
    set -- "$root/configs/$config.yaml" --set "data.path=$data" --set budget.steps=200 --set "log.directory=$out/train/$config"
    check_program "train/$config-plan" blocktrain plan "$@"
    check_program "train/$config-train" blocktrain train "$@"
  done
}

part_kernels() {
  check_program kernels/bench_kernels_cuda bench_kernels_cuda
  local products=(--ops product --dtypes bfloat16 --proposals 8 --repetitions 9) workspace
  for workspace in 32 128; do
    check_program "kernels/proposals-$workspace-mib" bench_kernels_cuda "${products[@]}" --workspace-mib "$workspace"
  done
}

part_swap() {
  local large=(--layers 24 --width 1024 --heads 16 --batch 128 --channels 4 --size 32 --classes 1000 --blocks 4)
  step swap/alone "${large[@]}"
  step swap/turns-of-20 "${large[@]}" --blocks-in-turn 4 --steps-per-visit 20
  step swap/turns-of-2 "${large[@]}" --blocks-in-turn 4 --steps-per-visit 2
}

# compared NAME ARGUMENT...: bench/compare_step.py on the GPU. What was not measured on either side counts as failed.
compared() {
  local name=$1 steps left=$((deadline - SECONDS))
  shift
  steps=$(program bench_step)
  if [ -z "$steps" ]; then
    note skipped 0 "$name: bench_step is not in $bin"
    return
  fi
  if ! "$python" -c 'import torch; torch.zeros(1).cuda()' >/dev/null 2>&1; then
    note skipped 0 "$name: $python has no PyTorch that computes on this GPU; see --python"
    return
  fi
  [ "$left" -le "$seconds" ] || left=$seconds
  check "$name" "$python" "$root/bench/compare_step.py" --cuda --bench "$steps" --python "$python" \
    --minutes "$((left > 120 ? left / 60 : 1))" --logs "$out/$name-logs" "$@"
  # A row that failed does not end the comparison.
  if grep -qE 'failed:|not measured' "$out/$name.txt" 2>/dev/null; then note failed 0 "$name: not all rows; see $name.txt"; fi
}

part_graphs() { compared graphs/dit-s --shapes dit-s/2 "dit-s/2 8x8" --variants no-graph; }

part_steps() {
  compared steps/dit-s-l --shapes dit-s/2 dit-l/2 --variants compiled
  compared steps/dit-xl --shapes dit-xl/2 --variants compiled
  compared steps/dit-l-best-batch --shapes dit-l/2 --modes "one block" --variants compiled --batch auto
}

for part in ${parts:-$all}; do "part_$part"; done
outcome() { awk -v outcome="$1" '$1 == outcome { ++n } END { print n + 0 }' "$out/summary.txt"; }
printf '%s passed, %s failed, %s skipped, %s out of time; all of it in %s\n' "$(outcome passed)" "$(outcome failed)" \
  "$(outcome skipped)" "$(outcome late)" "$out"
[ "$(outcome failed)" = 0 ] && [ "$(outcome late)" = 0 ]
