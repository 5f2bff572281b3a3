#!/usr/bin/env bash
# Installs what blocktrain needs, or says what is missing. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install-dependencies.sh [--tests] [--dry-run]

As root on Debian 12 or Ubuntu 22.04 and later: installs by apt what is missing, and only that. Elsewhere, or
without root: prints what is missing with its names in Debian, Spack and as environment modules.

  --tests      also what the tests and checks want: HDF5's tools, clang with libFuzzer, Slurm, Python modules, linters
  --dry-run    says what would be installed, changes nothing
  -h, --help   this text

Exit codes: 0 everything required is there, 1 apt failed, 2 something required is missing or wrong arguments.
TEXT
}

# How to see that it is there | needed | Debian | Spack | usual module. header: means one that the compiler finds.
# needed: yes; faster: a convenience; tests: for the tests (a test that lacks it says so and is skipped).
table='
command:c++           | yes    | g++                | gcc@11:        | gcc/12
command:cmake         | yes    | cmake              | cmake@3.22:    | cmake
command:ninja         | yes    | ninja-build        | ninja          | ninja
command:pkg-config    | yes    | pkg-config         | pkgconf        | pkgconf
command:git           | yes    | git                | git            | git
command:python3       | yes    | python3            | python         | python/3
command:ccache        | faster | ccache             | ccache         | ccache
command:mpirun        | yes    | openmpi-bin        | openmpi        | openmpi
command:mpicc         | yes    | libopenmpi-dev     | openmpi        | openmpi
pkg:hdf5 command:h5cc | yes    | libhdf5-dev        | hdf5~mpi       | hdf5
pkg:yaml-cpp          | yes    | libyaml-cpp-dev    | yaml-cpp       | yaml-cpp
header:boost/version.hpp | yes | libboost-dev       | boost          | boost
header:Random123/philox.h | yes | librandom123-dev  | random123      | (Spack, or its headers in CPATH)
header:CLI/CLI.hpp    | yes    | libcli11-dev       | cli11          | cli11
header:nlohmann/json.hpp | yes | nlohmann-json3-dev | nlohmann-json  | nlohmann_json
pkg:spdlog            | yes    | libspdlog-dev      | spdlog         | spdlog
pkg:libpng            | yes    | libpng-dev         | libpng         | libpng
pkg:zlib              | yes    | zlib1g-dev         | zlib           | zlib
pkg:liblzma           | yes    | liblzma-dev        | xz             | xz
pkg:libcrypto         | yes    | libssl-dev         | openssl        | openssl
header:boost/test/unit_test.hpp | tests | libboost-test-dev | boost+test | boost
header:boost/context/fiber.hpp | tests | libboost-context-dev | boost+context | boost
command:h5dump        | tests  | hdf5-tools         | hdf5           | hdf5
command:jq            | tests  | jq                 | jq             | jq
python:pandas         | tests  | python3-pandas     | py-pandas      | (pip install pandas)
python:h5py           | tests  | python3-h5py       | py-h5py        | (pip install h5py)
libfuzzer:            | tests  | clang-14 libclang-rt-14-dev | llvm  | llvm
command:slurmctld     | tests  | slurmctld          | slurm          | (the cluster has it)
command:slurmd        | tests  | slurmd             | slurm          | (the cluster has it)
command:munged        | tests  | munge              | munge          | (the cluster has it)
command:clang-format  | tests  | clang-format       | llvm           | llvm
command:shellcheck    | tests  | shellcheck         | shellcheck     | shellcheck
'

is_there() {
  local one
  for one in $1; do
    case $one in
      command:*) PATH=$PATH:/usr/sbin:/sbin command -v "${one#command:}" >/dev/null ;;
      pkg:*) pkg-config --exists "${one#pkg:}" 2>/dev/null ;;
      header:*)
        printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "${one#header:}" |
          "${CXX:-c++}" -x c++ -std=c++17 -E - >/dev/null 2>&1
        ;;
      python:*) python3 -c "import importlib.util as u, sys; sys.exit(u.find_spec('${one#python:}') is None)" 2>/dev/null ;;
      libfuzzer:) compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a' >/dev/null ;;
    esac && return 0
  done
  return 1
}

tests=0
dry=0
while [ $# -gt 0 ]; do
  case $1 in
    --tests) tests=1 ;;
    --dry-run) dry=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install-dependencies.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
  shift
done

# find_missing: fills `packages` (Debian), `rows` (to print) and `required` (how many are not optional).
find_missing() {
  local how needed debian spack module
  packages=() rows=() required=0
  while IFS='|' read -r how needed debian spack module; do
    needed=${needed// /}
    [ -n "$needed" ] || continue
    [ "$needed" != tests ] || [ "$tests" = 1 ] || continue
    is_there "$how" && continue
    read -ra names <<<"$debian"
    packages+=("${names[@]}")
    rows+=("$(printf '%-8s %-30s %-18s %s' "$needed" "${names[*]}" "${spack// /}" "${module# }")")
    [ "$needed" != yes ] || required=$((required + 1))
  done <<<"$table"
}

find_missing
if [ ${#packages[@]} -eq 0 ]; then
  echo "everything is there"
  exit 0
fi

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ] || [ "$dry" = 1 ]; then
  echo "missing:"
  printf '%-8s %-30s %-18s %s\n' needed "Debian or Ubuntu package" "Spack spec" "environment module"
  printf '%s\n' "${rows[@]}"
  echo
  echo "With apt, as root:  apt-get install --no-install-recommends ${packages[*]}"
  echo "With Spack:         spack install SPEC..., then spack load SPEC..."
  echo "On a cluster:       module avail, module load NAME... (names differ), or ask its administrators"
  [ "$dry" = 0 ] || exit 0
  [ "$required" -eq 0 ] && exit 0
  exit 2
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing ${packages[*]}"
apt-get -q update || echo "apt-get update failed; trying with the lists that are there" >&2
install() { apt-get -q -y install --no-install-recommends "$@"; }
if ! install "${packages[@]}"; then
  # A release may lack an optional one: the others are worth having all the same.
  for package in "${packages[@]}"; do
    install "$package" || echo "cannot install $package" >&2
  done
fi
find_missing
if [ "$required" -gt 0 ]; then
  echo "still missing:" >&2
  printf '%s\n' "${rows[@]}" >&2
  exit 1
fi
[ ${#rows[@]} -eq 0 ] || { echo "not to be had here, and optional:"; printf '%s\n' "${rows[@]}"; }
