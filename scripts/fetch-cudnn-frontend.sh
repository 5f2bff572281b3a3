#!/usr/bin/env bash
# Fetches the headers of cuDNN's C++ frontend. See --help.
set -euo pipefail

version=1.32.0

usage() {
  cat <<TEXT
usage: scripts/fetch-cudnn-frontend.sh [FOLDER]

Puts the headers of cuDNN's C++ frontend, $version, into FOLDER/include (default: build/cudnn-frontend, where a build with
CUDA finds them). They come from the Python package nvidia-cudnn-frontend, which is unpacked, not installed. Builds
without them compute attention on GPUs by plain kernels of their own.

  -h, --help   this text

Exit codes: 0 the headers are there, 1 they could not be fetched, 2 wrong arguments.
TEXT
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  -*) echo "fetch-cudnn-frontend.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
esac
[ $# -le 1 ] || { echo "fetch-cudnn-frontend.sh: one folder at most; see --help" >&2; exit 2; }
folder=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/cudnn-frontend}
if [ -s "$folder/include/cudnn_frontend.h" ]; then
  echo "already there: $folder/include"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d "$work" \
  "nvidia-cudnn-frontend==$version"; then
  echo "fetch-cudnn-frontend.sh: pip could not fetch nvidia-cudnn-frontend $version; is the package index reachable?" >&2
  exit 1
fi
mkdir -p "$folder"
python3 - "$work"/*.whl "$folder" <<'PYTHON'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith("include/")])
PYTHON
[ -s "$folder/include/cudnn_frontend.h" ] || { echo "fetch-cudnn-frontend.sh: the package holds no headers" >&2; exit 1; }
echo "$folder/include"
