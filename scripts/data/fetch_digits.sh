#!/usr/bin/env bash
# Fetches the UCI handwritten digits and writes them as IDX files. See --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
package=python3-sklearn
member=usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz

usage() {
  cat <<TEXT
usage: scripts/data/fetch_digits.sh [--csv FILE] [DIRECTORY]

Writes the UCI handwritten digits (1,797 grey 8x8 images, 10 classes; 1,500 for training, 297 held out) as
four gzipped IDX files to DIRECTORY (default: data/digits in the repository). Does nothing when they are there.

The digits come from Debian's package $package, which is downloaded, not installed: no root needed, but
apt's package lists are ('apt-get update', which this script runs itself as root). On a machine without apt,
take digits.csv.gz out of any scikit-learn installation (folder sklearn/datasets/data) and name it:

  --csv FILE   use this digits.csv.gz (or digits.csv) instead of downloading
  -h, --help   this text

The data: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, CC BY 4.0.

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong arguments.
TEXT
}

fail() {
  echo "fetch_digits.sh: $2" >&2
  exit "$1"
}

csv=
directory=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --csv) [ $# -ge 2 ] || fail 2 "--csv needs a file"; csv=$2; shift ;;
    -*) fail 2 "unknown option $1; see --help" ;;
    *) [ -z "$directory" ] || fail 2 "one folder only; see --help"; directory=$1 ;;
  esac
  shift
done
directory=${directory:-$root/data/digits}

command -v python3 >/dev/null || fail 1 "python3 is needed to convert the digits"
if [ -n "$csv" ] || python3 "$here/digits_to_idx.py" --check "$directory"; then
  exec python3 "$here/digits_to_idx.py" ${csv:+--csv "$csv"} "$directory"
fi

if [ -r "/$member" ]; then
  exec python3 "$here/digits_to_idx.py" --csv "/$member" "$directory"
fi

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || fail 1 "$tool is not here (not a Debian or Ubuntu machine?); see --csv in --help"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Inside the folder of the download; as root apt would else warn that its unprivileged user cannot write there.
download() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package") >"$work/log" 2>&1; }
if ! download && ! { [ "$(id -u)" -eq 0 ] && apt-get -q update >/dev/null && download; }; then
  cat "$work/log" >&2
  fail 1 "cannot download Debian's package $package; run 'apt-get update' as root first, or see --csv in --help"
fi
dpkg-deb -x "$work"/"$package"_*.deb "$work/package" || fail 1 "cannot unpack the package $package"
[ -r "$work/package/$member" ] || fail 1 "the package $package of this release has no $member; see --csv in --help"
python3 "$here/digits_to_idx.py" --csv "$work/package/$member" "$directory"
