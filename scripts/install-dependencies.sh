#!/usr/bin/env bash
# Installs what blocktrain needs, or says what is missing. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install-dependencies.sh [--tests | --all] [--dry-run]

As root on Debian 12 or Ubuntu 22.04 and later: installs by apt what is missing, and only that. Elsewhere, or
without root: prints what is missing with its names in Debian, Spack and as environment modules. A library is there
when a program that uses it can be linked.

  --tests      also what the tests use: Boost.Test, HDF5's tools, clang with libFuzzer, Python modules
  --all        also what CI's checks use: Slurm, linters
  --dry-run    says what would be installed, changes nothing
  -h, --help   this text

Exit codes: 0 everything required is there, 1 apt failed, 2 something required is missing or wrong arguments.
TEXT
}

# How to see that it is there | needed | Debian | Spack | usual module.
# The first column: one of the words, divided by blanks, has to hold. command:NAME, python:MODULE, libfuzzer:, and
# link:PART,PART,... when a C++ program links with these: a header, pkg=NAME for the flags that pkg-config has for NAME,
# with=COMPILER for a wrapper, call=FUNCTION of C, -lNAME.
# needed: yes; optional: without it the program can do less, and says so; faster: a convenience; tests: to build the tests; more: a test that lacks it says so and is skipped;
# checks: for CI alone. Debian: alternatives, best first, are divided by /.
table='
command:c++           | yes    | g++                | gcc@11:        | gcc/12
command:cmake         | yes    | cmake              | cmake@3.22:    | cmake
command:ninja         | yes    | ninja-build        | ninja          | ninja
command:pkg-config    | yes    | pkg-config         | pkgconf        | pkgconf
command:git           | yes    | git                | git            | git
command:python3       | yes    | python3            | python         | python/3
command:ccache        | faster | ccache             | ccache         | ccache
command:mpirun        | yes    | openmpi-bin        | openmpi        | openmpi
link:mpi.h,with=mpicc | yes    | libopenmpi-dev     | openmpi        | openmpi
link:hdf5.h,pkg=hdf5 link:hdf5.h,with=h5cc | yes | libhdf5-dev | hdf5~mpi | hdf5
link:yaml-cpp/yaml.h,pkg=yaml-cpp | yes | libyaml-cpp-dev | yaml-cpp   | yaml-cpp
link:boost/version.hpp | yes   | libboost-dev       | boost          | boost
link:Random123/philox.h | yes  | librandom123-dev   | random123      | (Spack, or its headers in CPATH)
link:CLI/CLI.hpp      | yes    | libcli11-dev       | cli11          | cli11
link:nlohmann/json.hpp | yes   | nlohmann-json3-dev | nlohmann-json  | nlohmann_json
link:spdlog/spdlog.h,pkg=spdlog | yes | libspdlog-dev | spdlog        | spdlog
link:png.h,pkg=libpng | yes    | libpng-dev         | libpng         | libpng
link:zlib.h,pkg=zlib  | yes    | zlib1g-dev         | zlib           | zlib
link:lzma.h,pkg=liblzma | yes  | liblzma-dev        | xz             | xz
link:openssl/sha.h,pkg=libcrypto | yes | libssl-dev | openssl        | openssl
link:utf8proc.h,pkg=libutf8proc | yes | libutf8proc-dev | utf8proc     | utf8proc
link:sentencepiece_processor.h,-lsentencepiece | optional | libsentencepiece-dev | sentencepiece | (Spack)
link:call=dsyev_,call=dsyrk_,pkg=openblas | yes | libopenblas-dev | openblas | openblas
link:boost/test/unit_test.hpp,-lboost_unit_test_framework | tests | libboost-test-dev | boost+test | boost
link:boost/context/fiber.hpp,-lboost_context | more | libboost-context-dev | boost+context | boost
command:h5dump        | more   | hdf5-tools         | hdf5           | hdf5
command:jq            | more   | jq                 | jq             | jq
python:pandas         | more   | python3-pandas     | py-pandas      | (pip install pandas)
python:h5py           | more   | python3-h5py       | py-h5py        | (pip install h5py)
libfuzzer:            | more   | clang-14 libclang-rt-14-dev / clang libclang-rt-dev / clang | llvm | llvm
command:slurmctld     | checks | slurmctld          | slurm          | (the cluster has it)
command:slurmd        | checks | slurmd             | slurm          | (the cluster has it)
command:munged        | checks | munge              | munge          | (the cluster has it)
command:debootstrap   | checks | debootstrap        | debootstrap    | (not needed on a cluster)
command:clang-format  | checks | clang-format       | llvm           | llvm
command:shellcheck    | checks | shellcheck         | shellcheck     | shellcheck
'

# links PART,PART,...: whether a program with these parts, see above, can be linked. Nothing of it is run.
links() {
  local compiler=${CXX:-c++} program="" flags=() part parts folder said more
  IFS=, read -ra parts <<<"$1"
  # Where Spack's packages lie; CMake looks there as well.
  IFS=: read -ra more <<<"${CMAKE_PREFIX_PATH:-}"
  for folder in "${more[@]}"; do flags+=("-I$folder/include" "-L$folder/lib" "-L$folder/lib64"); done
  for part in "${parts[@]}"; do
    case $part in
      pkg=*)
        said=$(pkg-config --cflags --libs "${part#pkg=}" 2>/dev/null) || return 1
        read -ra more <<<"$said"
        flags+=("${more[@]}")
        ;;
      with=*) compiler=${part#with=} ;;
      call=*) program+="extern \"C\" void ${part#call=}(void); void* use_${part#call=} = (void*)&${part#call=};"$'\n' ;;
      -l*) flags+=("$part") ;;
      *) program+="#if !__has_include(<$part>)"$'\n'"#error missing"$'\n'"#endif"$'\n' ;;
    esac
  done
  printf '%s\nint main() { return 0; }\n' "$program" |
    if [ "$compiler" = "${CXX:-c++}" ]; then
      "$compiler" -x c++ -std=c++17 - -x none -o "$probe" "${flags[@]}"
    else
      "$compiler" -x c - -x none -o "$probe" "${flags[@]}"
    fi >/dev/null 2>&1
}

fuzzes() {
  local clang
  for clang in clang++ clang++-{20..14}; do
    echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
      "$clang" -x c++ -fsanitize=fuzzer,address - -o "$probe" >/dev/null 2>&1 && return 0
  done
  return 1
}

is_there() {
  local one
  for one in $1; do
    case $one in
      command:*) PATH=$PATH:/usr/sbin:/sbin command -v "${one#command:}" >/dev/null ;;
      link:*) links "${one#link:}" ;;
      python:*) python3 -c "import importlib.util as u, sys; sys.exit(u.find_spec('${one#python:}') is None)" 2>/dev/null ;;
      libfuzzer:) fuzzes ;;
    esac && return 0
  done
  return 1
}

kinds=" yes optional faster "
dry=0
while [ $# -gt 0 ]; do
  case $1 in
    --tests) kinds=" yes optional faster tests more " ;;
    --all) kinds=" yes optional faster tests more checks " ;;
    --dry-run) dry=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install-dependencies.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
  shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
probe=$work/probe

# choose ALTERNATIVES: fills `names` with the packages of the first alternative that apt knows, else of the first.
choose() {
  local alternatives one
  IFS=/ read -ra alternatives <<<"$1"
  for one in "${alternatives[@]}"; do
    read -ra names <<<"$one"
    [ ${#alternatives[@]} -gt 1 ] || return 0
    # shellcheck disable=SC2086  # names of packages, divided by blanks
    apt-cache show --no-all-versions $one >/dev/null 2>&1 && return 0
  done
  read -ra names <<<"${alternatives[0]}"
}

# find_missing: fills `packages` (Debian), `rows` (to print) and `required` (how many are not optional).
find_missing() {
  local how needed debian spack module names
  packages=() rows=() required=0
  while IFS='|' read -r how needed debian spack module; do
    needed=${needed// /}
    [ -n "$needed" ] || continue
    [[ $kinds == *" $needed "* ]] || continue
    is_there "$how" && continue
    choose "$debian"
    packages+=("${names[@]}")
    rows+=("$(printf '%-8s %-30s %-18s %s' "$needed" "${names[*]}" "${spack// /}" "${module# }")")
    case $needed in yes | tests) required=$((required + 1)) ;; esac
  done <<<"$table"
}

find_missing
if [ ${#packages[@]} -eq 0 ]; then
  echo "everything is there"
  exit 0
fi

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ] || [ "$dry" = 1 ]; then
  command -v "${CXX:-c++}" >/dev/null || echo "There is no C++ compiler, without which libraries cannot be judged: they count as missing."
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
apt-get -q update || echo "apt-get update failed; trying with the lists that are there" >&2
find_missing # which packages there are, the lists have said only now
echo "installing ${packages[*]}"
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
