# shellcheck shell=bash
# How scripts find blocktrain and start it; source it. MPI settings reach only the mpirun calls made here.

# bt_find_binary: prints the path of blocktrain. $BLOCKTRAIN wins, then the newest build in the repository (the
# folder in $root), then the one in PATH.
bt_find_binary() {
  local newest="" candidate
  if [ -n "${BLOCKTRAIN:-}" ]; then
    [ -x "$BLOCKTRAIN" ] || { echo "BLOCKTRAIN names '$BLOCKTRAIN', which is not an executable" >&2; return 2; }
    (cd "$(dirname "$BLOCKTRAIN")" && printf '%s/%s\n' "$PWD" "${BLOCKTRAIN##*/}")
    return
  fi
  for candidate in "${root:-.}"/build/{release,cuda,quickstart}/blocktrain; do
    [ -x "$candidate" ] && { [ -z "$newest" ] || [ "$candidate" -nt "$newest" ]; } && newest=$candidate
  done
  [ -n "$newest" ] || newest=$(command -v blocktrain) || {
    echo "no blocktrain found; build it (cmake --preset release && cmake --build --preset release)," \
      "or name one: BLOCKTRAIN=/path/to/blocktrain" >&2
    return 2
  }
  printf '%s\n' "$newest"
}

# bt_mpirun NP COMMAND...: COMMAND on NP ranks, more of them than cores if need be, none bound to a core (blocktrain
# itself gives way while it waits). Ctrl-C, TERM, HUP and USR1 become the USR1 that asks a run to save; a second Ctrl-C
# or TERM ends it at once. Returns the exit code: 75 means saved, resume it.
bt_mpirun() {
  local np=$1
  shift
  local -a launch=(mpirun -np "$np")
  local version
  version=$(mpirun --version 2>/dev/null) || version=
  if [[ $version == *"Open MPI"* ]]; then
    # Quiet about ranks that end with a code that is not 0; there is no word for that from version 5 on.
    [[ ! $version =~ Open\ MPI\)\ [1-4]\. ]] || launch+=(-q)
    launch+=(--map-by :OVERSUBSCRIBE --bind-to none)
    # mpirun kills its ranks a second after TERM, and a batch system may send that to every process: hold it back.
    # (The ranks get it all the same, and save.) coreutils before 8.31 cannot.
    ! env --block-signal=TERM true 2>/dev/null || launch=(env --block-signal=TERM "${launch[@]}")
    launch=(env OMPI_MCA_btl_base_warn_component_unused=0 "${launch[@]}")
    [ "$(id -u)" -ne 0 ] ||
      launch=(env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "${launch[@]}")
  fi
  bt_run_saving "${launch[@]}" "$@"
}

# bt_run_saving LAUNCHER...: runs it with the signals turned as said above, and counts Ctrl-C and TERM in bt_signals.
bt_run_saving() {
  local pid code=0
  bt_signals=0
  # Its own session, so that Ctrl-C at the terminal reaches this script alone.
  setsid "$@" </dev/null &
  pid=$!
  trap 'bt_pass_on "$pid"' INT TERM
  trap 'bt_interrupted=1; kill -USR1 "$pid" 2>/dev/null || true' HUP USR1
  while :; do
    bt_interrupted=0
    code=0
    wait "$pid" || code=$?
    [ "$bt_interrupted" = 1 ] || break # else it was the wait that ended, not the run
  done
  trap - INT TERM HUP USR1
  return "$code"
}

bt_pass_on() {
  bt_interrupted=1
  bt_signals=$((bt_signals + 1))
  if [ "$bt_signals" = 1 ]; then
    echo "asked to stop: saving (once more stops without saving)" >&2
    kill -USR1 "$1" 2>/dev/null || true
  else
    kill -INT "$1" 2>/dev/null || true # mpirun
    kill -TERM "$1" 2>/dev/null || true # others
  fi
}

# bt_ranks BINARY CONFIG [--set ...]: prints how many ranks the config has work for with one block each.
bt_ranks() {
  local blocktrain=$1 plan
  shift
  plan=$("$blocktrain" plan "$@" --json) || return
  python3 -c 'import json, sys; print(json.load(sys.stdin)["world"])' <<<"$plan"
}
