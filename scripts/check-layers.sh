#!/usr/bin/env bash
# Which folder may include which, and which words belong to tasks alone. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/check-layers.sh [--root FOLDER]

Looks at every #include of kernels/, blocks/, comm/ and trainer/, and at the words of trainer/, by the rules that are
declared at the head of scripts/lib/check_layers.py: what the folders of the repository may include of each other, in
which order the folders of trainer/ stand, and that nothing in trainer/ outside tasks/ names what a sample is made of. What
does so still, with the reason, is listed in scripts/lib/layer_exceptions.txt; an exception that is not needed any more is
an error too, so that the list shrinks.

  --root FOLDER  the repository to look at (default: this one)
  -h, --help     this text

Each finding is a line FILE:LINE: what was found and the rule. Exit codes: 0 none, 1 some, 2 wrong arguments.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lib=$root/scripts/lib
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --root)
      [ -d "${2:-}" ] || { echo "check-layers.sh: --root needs a folder; see --help" >&2; exit 2; }
      root=$2
      shift
      ;;
    *) echo "check-layers.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
  esac
  shift
done
exec python3 "$lib/check_layers.py" "$root"
