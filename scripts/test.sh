#!/usr/bin/env bash
# Builds and runs all tests. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

usage() {
  cat <<'TEXT'
usage: scripts/test.sh [OPTIONS]

Installs what is missing (as root on Debian or Ubuntu; elsewhere it says what to ask for, before anything is built), then
builds and runs the tests as users build the program (release) and under the address, undefined-behaviour and thread
sanitizers, then every fuzz target for a short while. Ends with what was skipped and why, what failed, and a line
`N passed, N failed, N skipped`.

  --quick            release only, no fuzzing
  --presets "A B"    these presets of CMakePresets.json (default: "release asan tsan")
  --cuda             release with the CUDA kernels (needs a toolkit); what needs a GPU is skipped without one
  --labels REGEX     of release, only tests that have such a label, as for ctest -L (default: all)
  --fuzz-seconds N   seconds per fuzz target, 0 for none (default: 10)
  --skip-install     installs nothing
  -j N               jobs at a time (default: as many as there are cores)
  -h, --help         this text

Logs: build/PRESET/Testing/Temporary/LastTest.log (a sanitizer's report is in its test's output), build/fuzz/*.log.
With CI=true in the environment, warnings are errors.
Exit codes: 0 all passed, 1 something failed, 2 something is missing or wrong arguments.
TEXT
}

fail() {
  echo "test.sh: $1" >&2
  exit 2
}

presets="release asan tsan"
fuzz_seconds=10
jobs=$(nproc)
cuda=OFF
labels=()
install=1
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --cuda) cuda=ON ;;
    --skip-install) install=0 ;;
    --quick) presets=release fuzz_seconds=0 ;;
    --presets | --labels | --fuzz-seconds | -j)
      [ $# -ge 2 ] || fail "$1 needs a value; see --help"
      case $1 in
        --presets) presets=$2 ;;
        --labels) labels=(-L "$2") ;;
        --fuzz-seconds) fuzz_seconds=$2 ;;
        -j) jobs=$2 ;;
      esac
      shift
      ;;
    *) fail "unknown argument '$1'; see --help" ;;
  esac
  shift
done
[[ $fuzz_seconds =~ ^[0-9]{1,6}$ ]] || fail "--fuzz-seconds $fuzz_seconds: accepted is a number of seconds"
[[ $jobs =~ ^[1-9][0-9]{0,3}$ ]] || fail "-j $jobs: accepted is a number from 1"

configure=(-DBLOCKTRAIN_WERROR=OFF)
[ "${CI:-}" != true ] || configure=(-DBLOCKTRAIN_WERROR=ON)
results=()

# record GROUP TEST OUTCOME REASON
record() {
  printf '%s\t%s\t%s\n' "$2" "$3" "$4" >>"build/results/$1.tsv"
}

test_preset() {
  local preset=$1 began=$SECONDS
  printf '\n== %s: build\n' "$preset"
  local options=("${configure[@]}") chosen=()
  local target=blocktrain_tests
  if [ "$preset" = release ]; then
    options+=("-DBLOCKTRAIN_CUDA=$cuda")
    target=all
    chosen=("${labels[@]}")
  fi
  if ! cmake --preset "$preset" "${options[@]}" || ! cmake --build "build/$preset" -j "$jobs" --target "$target"; then
    record "$preset" build failed "see above"
    return
  fi
  printf '== %s: built after %s s; tests\n' "$preset" "$((SECONDS - began))"
  # Messages, so that a test which leaves out a part says so.
  BOOST_TEST_LOG_LEVEL=message ctest --preset "$preset" "${chosen[@]}" -j "$jobs" --output-junit "$root/build/results/$preset.xml" \
    --test-output-size-passed 1000000 --test-output-size-failed 1000000 || true
  [ -s "build/results/$preset.xml" ] || record "$preset" ctest failed "it wrote no results"
  printf '== %s: done after %s s; log: build/%s/Testing/Temporary/LastTest.log\n' "$preset" "$((SECONDS - began))" "$preset"
}

# fuzzing_clang: prints a clang++ that has libFuzzer.
fuzzing_clang() {
  local clang
  for clang in clang++ clang++-{20..14}; do
    if echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
      "$clang" -x c++ -fsanitize=fuzzer,address -o build/fuzz/probe - 2>/dev/null; then
      echo "$clang"
      return
    fi
  done
  return 1
}

fuzz() {
  local clang name target targets=() began=$SECONDS
  for name in tests/fuzz/fuzz_*.cpp; do targets+=("$(basename "$name" .cpp)"); done
  mkdir -p build/fuzz
  printf '\n== fuzz: build\n'
  if ! clang=$(fuzzing_clang); then
    for target in "${targets[@]}"; do record fuzz "$target" skipped "no clang with libFuzzer (Debian: clang-14 libclang-rt-14-dev)"; done
    echo "SKIPPED: no clang with libFuzzer"
    return
  fi
  if ! cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" \
    -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_C_COMPILER="${clang/++/}" -DBLOCKTRAIN_FUZZ=ON -DBLOCKTRAIN_TESTS=OFF \
    -DBLOCKTRAIN_BENCH=OFF -DBLOCKTRAIN_MPI=OFF \
    -DBLOCKTRAIN_SANITIZE=address,undefined,fuzzer-no-link ||
    ! cmake --build build/fuzz -j "$jobs" --target "${targets[@]}"; then
    record fuzz build failed "see above"
    return
  fi
  printf '== fuzz: built after %s s; %s s for each target\n' "$((SECONDS - began))" "$fuzz_seconds"
  # Each of $jobs workers takes every $jobs-th target.
  local worker at workers=()
  for ((worker = 0; worker < jobs && worker < ${#targets[@]}; ++worker)); do
    for ((at = worker; at < ${#targets[@]}; at += jobs)); do fuzz_one "${targets[at]}"; done &
    workers+=($!)
  done
  for worker in "${workers[@]}"; do
    wait "$worker" || record fuzz "a part of the targets" failed "its worker ended with $?, see above"
  done
}

# fuzz_one TARGET: runs it, which is built.
fuzz_one() {
  local target=$1 name=${1#fuzz_}
  mkdir -p "build/fuzz/corpus/$name"
  local seeds=("build/fuzz/corpus/$name")
  [ ! -d "tests/fuzz/corpus/$name" ] || seeds+=("tests/fuzz/corpus/$name")
  if "build/fuzz/tests/fuzz/$target" -max_total_time="$fuzz_seconds" -timeout=30 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$name-" "${seeds[@]}" >"build/fuzz/$target.log" 2>&1; then
    record fuzz "$target" passed ""
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$target.log") inputs, no error"
  else
    record fuzz "$target" failed "build/fuzz/$target.log; the input is build/fuzz/$name-*"
    tail -n 40 "build/fuzz/$target.log"
  fi
}

if [ "$install" = 1 ]; then
  printf '== what blocktrain and its tests need\n'
  scripts/install-dependencies.sh --tests
fi
rm -rf build/results
mkdir -p build/results
for preset in $presets; do test_preset "$preset"; done
[ "$fuzz_seconds" = 0 ] || fuzz
for file in build/results/*; do results+=("$file"); done
python3 scripts/lib/test_results.py "${results[@]}"
