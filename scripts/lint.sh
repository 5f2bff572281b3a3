#!/usr/bin/env bash
# Formats the sources, or checks them. See --help.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TEXT'
usage: scripts/lint.sh [--check]

Formats all C++ and CUDA sources by clang-format 14 (.clang-format).

  --check      changes nothing: says what is not formatted, what shellcheck finds in the scripts, and which text
               files have trailing blanks or Windows line ends, and what breaks the order of the folders
               (scripts/check-layers.sh); notes files of more than 400 lines
  -h, --help   this text

Exit codes: 0 nothing found, 1 something found, 2 a tool is missing or wrong arguments.
TEXT
}

check=0
case ${1:-} in
  "") ;;
  --check) check=1 ;;
  -h | --help) usage; exit 0 ;;
  *) echo "lint.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
esac

# Versions format differently: 14 is the one that counts.
format=
for candidate in clang-format-14 clang-format; do
  "$candidate" --version 2>/dev/null | grep -q 'version 14\.' && format=$candidate && break
done
[ -n "$format" ] || { echo "lint.sh: clang-format 14 is not here (Debian 12: clang-format, Ubuntu: clang-format-14)" >&2; exit 2; }

sources() { git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.hpp' '*.cu' '*.cuh'; }
scripts() { git ls-files -z --cached --others --exclude-standard -- '*.sh' '*.sbatch' .ci/run; }

if [ "$check" = 0 ]; then
  sources | xargs -0 "$format" -i
  exit 0
fi

found=0
sources | xargs -0 "$format" --dry-run --Werror || found=1
if command -v shellcheck >/dev/null; then
  scripts | xargs -0 shellcheck -x || found=1
else
  echo "note: shellcheck is not here, scripts are not checked"
fi
# Fixtures and seeds are data: they may hold anything.
if git grep -nIE '[[:blank:]]+$|'$'\r' -- . ':!tests/fixtures' ':!tests/fuzz/corpus'; then
  echo "above: trailing blanks or Windows line ends"
  found=1
fi
scripts/check-layers.sh || found=1
sources | xargs -0 wc -l | awk '$2 != "total" && $1 > 400 { print "note: " $2 " has " $1 " lines" }'
exit "$found"
