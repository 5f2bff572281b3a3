#!/usr/bin/env bash
# The README's two commands on a machine that has nothing. See --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: scripts/fresh-machine-test.sh [OPTIONS] [bookworm|trixie]

Makes the smallest Debian there is (debootstrap --variant=minbase; bookworm, Debian 12, when none is named), clones HEAD
into it, which leaves out what is not committed, and runs the README's two commands there: scripts/quickstart.sh and
scripts/test.sh. Needs root, debootstrap and a mirror of Debian: the one that apt uses here, else debootstrap's own.

  --quickstart OPTIONS   options for scripts/quickstart.sh, divided by blanks
  --test OPTIONS  options for scripts/test.sh
  --quick         the same as --quickstart "--steps 100 --set optimizer.warmup_steps=10 --end-to-end" --test "--quick"
  --folder DIR    makes the root in DIR, which must not exist (default: a new folder in TMPDIR, else in /tmp)
  --keep          leaves it there; `chroot DIR` enters it
  --packages DIR  keeps the packages that are fetched in DIR, for the next time
  --ccache DIR    compiler cache to use (default: that of ccache here, where there is one; "" for none)
  -h, --help      this text

The root has its own mounts and processes, which end with this script, however it ends. With CI=true in the environment,
warnings are errors.
Exit codes: 0 both commands succeeded, 1 one failed, 2 no root could be made or wrong arguments, 77 skipped.
TEXT
}

fail() {
  echo "fresh-machine-test.sh: $2" >&2
  exit "$1"
}

skip() {
  echo "SKIPPED: a fresh machine: $1"
  exit 77
}

release="" quickstart_options="" test_options="" folder="" keep=0 packages=""
ccache=$(ccache --get-config cache_dir 2>/dev/null) || ccache=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --quick)
      quickstart_options="--steps 100 --set optimizer.warmup_steps=10 --end-to-end"
      test_options="--quick"
      ;;
    --keep) keep=1 ;;
    --quickstart | --test | --folder | --packages | --ccache)
      [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
      case $1 in
        --quickstart) quickstart_options=$2 ;;
        --test) test_options=$2 ;;
        --folder) folder=$2 ;;
        --packages) packages=$2 ;;
        --ccache) ccache=$2 ;;
      esac
      shift
      ;;
    bookworm | trixie)
      [ -z "$release" ] || fail 2 "one release only; see --help"
      release=$1
      ;;
    *) fail 2 "unknown argument '$1'; see --help" ;;
  esac
  shift
done
release=${release:-bookworm}
[ -z "$folder" ] || [ ! -e "$folder" ] || fail 2 "--folder $folder: is there already"

[ "$(id -u)" -eq 0 ] || skip "only root can make one"
PATH=$PATH:/usr/sbin:/sbin
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
own_world=(unshare --mount --propagation private --pid --fork --kill-child)
"${own_world[@]}" true 2>/dev/null || skip "root may not mount anything here"

if [ -n "$folder" ]; then
  mkdir -p "$folder"
else
  folder=$(mktemp -d -t "blocktrain-$release.XXXXXX")
fi
folder=$(cd "$folder" && pwd)
chmod 0755 "$folder"  # it becomes /, which every user may enter
# shellcheck disable=SC2016  # apt expands them
mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }') || mirror=
if [ -n "$packages" ]; then
  mkdir -p "$packages/archives/partial"
  packages=$(cd "$packages" && pwd)
fi
if [ -n "$ccache" ]; then
  mkdir -p "$ccache"
  ccache=$(cd "$ccache" && pwd)
fi

export root release folder mirror packages ccache quickstart_options test_options
child=
# Nothing is mounted in the folder as seen from here.
# shellcheck disable=SC2317  # the trap calls it
clean() {
  [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
  wait
  [ "$keep" = 1 ] || rm -rf --one-file-system "$folder"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"${own_world[@]}" "$root/scripts/lib/fresh_machine.sh" </dev/null &
child=$!
code=0
wait "$child" || code=$?
child=
[ "$keep" = 0 ] || echo "the root is in $folder"
exit "$code"
