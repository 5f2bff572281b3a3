#!/usr/bin/env bash
# The inside of scripts/fresh-machine-test.sh, which runs this in mounts and processes of its own: makes the root in the
# empty $folder and runs the README's two commands there.
set -euo pipefail

: "${root:?}" "${release:?}" "${folder:?}"
: "${mirror=}" "${packages=}" "${ccache=}" "${quickstart_options=}" "${test_options=}"
read -ra quickstart_options <<<"$quickstart_options"
read -ra test_options <<<"$test_options"

# shellcheck disable=SC2317  # the trap calls it
no_root() {
  echo "fresh-machine-test.sh: the root could not be made: line $1 of scripts/lib/fresh_machine.sh failed" >&2
  [ ! -s "$folder/debootstrap/debootstrap.log" ] || tail -n 20 "$folder/debootstrap/debootstrap.log" >&2
  exit 2
}
trap 'no_root "$LINENO"' ERR

began=$SECONDS
options=()
[[ $mirror != https:* ]] || options+=(--include=ca-certificates)
[ -z "$packages" ] || options+=(--cache-dir="$packages")
debootstrap --variant=minbase "${options[@]}" "$release" "$folder" ${mirror:+"$mirror"} >/dev/null
# Nobody needs this root after a crash: dpkg may write without waiting for the disk.
echo force-unsafe-io >"$folder/etc/dpkg/dpkg.cfg.d/unsafe-io"
# The same repositories and the same way to them as here.
# shellcheck disable=SC2016  # apt expands them
repositories=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  awk -v release="$release" '$1 == "Debian" && $2 ~ /^[a-z]+(-updates|-security)?$/ {
    sub(/^[a-z]+/, release, $2); print "deb " $3 " " $2 " main" }' | sort -u)
[ -z "$repositories" ] || printf '%s\n' "$repositories" >"$folder/etc/apt/sources.list"
{ apt-config dump | grep -E '^Acquire::(https?|Check-[A-Za-z-]*|Retries|ForceIPv[46])(::|[ "])' || true; } \
  >"$folder/etc/apt/apt.conf.d/90host" 2>/dev/null
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
mount -t proc proc "$folder/proc"
mount --rbind /dev "$folder/dev"
mount --rbind /sys "$folder/sys"
[ -z "$packages" ] || mount --bind "$packages/archives" "$folder/var/cache/apt/archives"
if [ -n "$ccache" ]; then
  mkdir "$folder/ccache"
  mount --bind "$ccache" "$folder/ccache"
fi
git clone -q "file://$root" "$folder/root/blocktrain"
printf '==== %s: a root with the clone after %s s\n' "$release" "$((SECONDS - began))"
trap - ERR

# in_root COMMAND...: in the clone, below root's private home, with an environment that knows nothing of this one.
in_root() {
  local variable environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  for variable in CI TERM http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!variable:-}" ] || environment+=("$variable=${!variable}")
  done
  [ -z "$ccache" ] || environment+=(CCACHE_DIR=/ccache CCACHE_COMPILERCHECK=content)
  # shellcheck disable=SC2016  # the inner shell expands it
  chroot "$folder" /usr/bin/env -i "${environment[@]}" /bin/sh -c 'cd /root/blocktrain && exec "$@"' sh "$@"
}

code=0
# timed COMMAND...: in the root; the other command is run all the same when it fails.
timed() {
  local began=$SECONDS ended=0
  printf '\n==== %s: %s\n' "$release" "$*"
  in_root "$@" || ended=$?
  printf '==== %s: %s: %s s, exit code %s\n' "$release" "$*" "$((SECONDS - began))" "$ended"
  [ "$ended" = 0 ] || code=1
}
timed scripts/quickstart.sh "${quickstart_options[@]}"
timed scripts/test.sh "${test_options[@]}"

# shellcheck disable=SC2016  # dpkg-query expands them
versions=$(in_root dpkg-query -W -f '${Package} ${Version}, ' g++ cmake openmpi-bin libhdf5-dev libboost-dev libopenblas-dev) ||
  versions="not all packages, "
[ "$code" = 0 ] && said="both commands passed" || said=FAILED
printf '\n%s, %s: %s (%s)\n' "$release" "$(date -I)" "$said" "${versions%, }"
exit "$code"
