#!/usr/bin/env bash
# Every group of operations on GPUs has a twin on CPUs, and every operation a test that compares the two. See --help.
set -euo pipefail

if [ $# -gt 0 ]; then
  cat <<'TEXT'
usage: scripts/check-twins.sh

Fails, naming them, when a file kernels/cuda/NAME.cu has no kernels/cpu/NAME.cpp, when an operation of CudaBackend is not
one of CpuBackend, or when no test in tests/kernels/ calls it. Exit codes: 0 all have theirs, 1 some have not.
TEXT
  [ "$1" = --help ] || [ "$1" = -h ] || exit 2
  exit 0
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
found=0
for file in kernels/cuda/*.cu; do
  name=$(basename "$file" .cu)
  [ "$name" != cuda_backend ] || continue
  if [ ! -f "kernels/cpu/$name.cpp" ]; then
    echo "$file has no kernels/cpu/$name.cpp"
    found=1
  fi
done
count=0
while read -r operation; do
  case $operation in synchronize | sum_columns) continue ;; esac  # not operations of the interface
  count=$((count + 1))
  if ! grep -qE "void CpuBackend::$operation\(" kernels/cpu/*.cpp; then
    echo "CudaBackend::$operation has no CpuBackend::$operation"
    found=1
  fi
  if ! grep -qE "ops(\.|->)$operation\(|&Ops::$operation\b" tests/kernels/*_test.cpp; then
    echo "CudaBackend::$operation: no test in tests/kernels/ calls it"
    found=1
  fi
done < <(grep -ho 'void CudaBackend::[a-z_]*' kernels/cuda/*.cu | sed 's/.*:://' | sort -u)
[ "$count" -ge 30 ] || { echo "only $count operations found: has kernels/cuda/ moved?"; found=1; }
[ "$found" = 1 ] || echo "$count operations, each with a twin and a test"
exit "$found"
