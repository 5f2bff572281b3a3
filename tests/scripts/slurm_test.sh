#!/usr/bin/env bash
# scripts/slurm/train.sbatch under a real Slurm: its daemons run on this machine alone, in a temporary folder, as long
# as the test. A job completes; a job that is told that its time is up saves, queues itself again, continues, and
# in the end trained every step exactly once. Needs root and slurmctld, slurmd, munged; else it is skipped (77).
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
# What Slurm, mpirun or a user's environment may have set is not part of the test.
for name in $(compgen -e | grep -E '^(SLURM|SBATCH|OMPI|PMIX|BLOCKTRAIN_(CONFIG|ROOT|LAUNCHER|REQUEUES))'); do unset "$name"; done

skip() { echo "SKIPPED: $1"; exit 77; }
fail() {
  echo "FAILED: $1" >&2
  tail -n 30 "$work"/*.log >&2 || true
  exit 1
}

[ -x "${BLOCKTRAIN:-}" ] || fail "BLOCKTRAIN has to name the program"
[ "$(id -u)" -eq 0 ] || skip "Slurm's daemons need root"
for tool in slurmctld slurmd munged mungekey sbatch scontrol scancel mpirun python3; do
  command -v "$tool" >/dev/null || skip "$tool is not installed (scripts/install-dependencies.sh --tests)"
done

work=$(mktemp -d)
chmod 711 "$work" # munged wants its socket to be reachable
daemons=()
with_test=(setpriv --pdeathsig TERM) # a daemon ends with the test even when that is killed
stop() {
  local pid
  # Jobs first, while there are daemons to end them.
  [ "${#daemons[@]}" -lt 3 ] || { scancel --user=root && within 30 no_jobs; } || true
  for pid in "${daemons[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for _ in $(seq 100); do
    pid=$(jobs -rp)
    [ -n "$pid" ] || break
    sleep 0.1
  done
  for pid in $(jobs -rp); do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

no_jobs() { [ -z "$(squeue --noheader)" ]; }

# within SECONDS COMMAND...: tries until it succeeds; false when the time is over.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

# --- the cluster: one node that claims 4 CPUs -------------------------------------------------------------------
read -r ctld_port slurmd_port < <(python3 -c '
import socket
taken = [socket.socket() for _ in range(2)]
for s in taken: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in taken))')
host=$(hostname -s)
mkdir "$work/state" "$work/spool"
cat >"$work/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again waits until its old credential has expired: 120 s by default.
AuthInfo=socket=$work/munge.socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=10 State=UP
CONF
export SLURM_CONF=$work/slurm.conf

mungekey --create --keyfile "$work/munge.key" >/dev/null
"${with_test[@]}" munged --foreground --force --socket="$work/munge.socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
  --seed-file="$work/munge.seed" --log-file="$work/munged.log" --num-threads=2 >"$work/munged.out.log" 2>&1 &
daemons+=($!)
within 20 munge --no-input --socket="$work/munge.socket" || skip "munged does not start: $(tail -n 3 "$work"/munged*.log)"
"${with_test[@]}" slurmctld -D -i -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 &
daemons+=($!)
within 30 scontrol ping || skip "slurmctld does not start: $(tail -n 3 "$work/slurmctld.log")"
"${with_test[@]}" slurmd -D -f "$SLURM_CONF" >"$work/slurmd.log" 2>&1 &
daemons+=($!)
node_is_up() { scontrol show node "$host" | grep -q 'State=IDLE'; }
within 30 node_is_up || skip "slurmd does not start: $(tail -n 3 "$work/slurmd.log")"

# --- the jobs ---------------------------------------------------------------------------------------------------
run=$work/run
# submit STEPS DIR [SBATCH OPTIONS]: from a folder that is not the repository; prints the job's number. The config is an
# argument, unless BLOCKTRAIN_CONFIG names it.
submit() {
  local steps=$1 run=$2 config=("$source_dir/configs/quickstart.yaml")
  shift 2
  [ -z "${BLOCKTRAIN_CONFIG:-}" ] || config=()
  (cd "$work" && sbatch --parsable --time=10 --output="$work/job-%j.log" "$@" "$source_dir/scripts/slurm/train.sbatch" \
    "${config[@]}" --set 'eval.steps=[4, 18]' --set "data.path=$source_dir/tests/fixtures/digits" \
    --set "log.directory=$run" --set "budget.steps=$steps" --set optimizer.decay_steps=0 --set data.batch=8 \
    --set model.width=16)
}
state_is() { scontrol show job "$1" | grep -Eq "JobState=($2)"; }
ended() { state_is "$1" 'COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL'; }

# ledger RUN EXPRESSION: whether the Python expression holds; rows: all, starts and ends: those of its lives,
# steps: {block: the numbers of its steps from 0, in the order in which they were made}, newest: rows of steps of the
# latest life, saved: {block: the step of its last checkpoint}.
ledger() {
  python3 - "$@" <<'PYTHON'
import collections, json, sys
rows = []
for line in open(sys.argv[1] + "/ledger.jsonl"):
    if line.endswith("\n"):
        rows.append(json.loads(line))
starts = [i for i, row in enumerate(rows) if row["type"] == "run_start"]
ends = [row for row in rows if row["type"] == "run_end"]
steps = collections.defaultdict(list)
for row in rows:
    if row["type"] == "step":
        steps[row["block"]].append(row["step"])
saved = {row["block"]: row["step"] for row in rows if row["type"] == "checkpoint"}
newest = [row for row in rows[starts[-1]:] if row["type"] == "step"] if starts else []
value = eval(sys.argv[2])
if value is not True:
    print(value)
sys.exit(not value)
PYTHON
}

job=$(submit 20 "$run")
within 120 ended "$job" || fail "job $job does not end: $(scontrol show job "$job")"
state_is "$job" COMPLETED || fail "job $job did not complete: $(scontrol show job "$job")"
ledger "$run" 'ends[-1]["status"] == "finished" and all(steps[b] == list(range(20)) for b in range(4))' ||
  fail "the run of job $job did not train 20 steps of 4 blocks"
echo "a job completes"

run=$work/long
job=$(BLOCKTRAIN_REQUEUES=1 BLOCKTRAIN_CONFIG=$source_dir/configs/quickstart.yaml submit 100000000 "$run")
within 120 ledger "$run" 'len(newest) > 0' || fail "job $job does not train"
scancel --signal=USR1 --batch "$job"
within 60 ledger "$run" 'ends[-1]["status"] == "interrupted"' || fail "job $job did not save when asked to"
within 60 grep -q "queueing this job again" "$work/job-$job.log" || fail "job $job did not queue itself again"
# One start and end was its first life's; the next continues where that ended.
within 120 ledger "$run" 'len(starts) == 2 and len(newest) > 0' || fail "job $job does not continue by itself"
scancel --signal=USR1 --batch "$job"
within 60 ended "$job" || fail "job $job does not end when asked to"
scontrol show job "$job" | grep -q 'ExitCode=75:0' || fail "job $job did not end with exit code 75: $(scontrol show job "$job")"
scontrol show job "$job" | grep -q 'Restarts=1' || fail "job $job was not queued again once"
again=$(sed -n 's/.*continue it with: \(sbatch .*\)/\1/p' "$work/job-$job.log")
[ -n "$again" ] || fail "job $job does not say how to continue"
echo "a job saves, queues itself again, continues, and says how to continue when it may not"

# From another folder, as it was printed, under the same environment: the same command again.
echo "$again" >"$work/again.sh"
job=$(cd / && BLOCKTRAIN_CONFIG=$source_dir/configs/quickstart.yaml BLOCKTRAIN_REQUEUES=0 bash "$work/again.sh" | grep -o '[0-9]*$')
[ -n "$job" ] || fail "the line to continue with submits no job: $again"
within 120 ledger "$run" 'len(starts) == 3 and len(newest) > 0' || fail "job $job, submitted by the line that was printed, does not continue"
scancel --signal=USR1 --batch "$job"
within 60 ended "$job" || fail "job $job does not end when asked to"
scontrol show job "$job" | grep -q 'ExitCode=75:0' || fail "job $job did not end with exit code 75: $(scontrol show job "$job")"
echo "the line that was printed continues the run"

total=$(ledger "$run" 'max(made[-1] for made in steps.values()) + 21')
job=$(submit "$total" "$run")
within 240 ended "$job" || fail "job $job does not end"
state_is "$job" COMPLETED || fail "job $job did not complete: $(scontrol show job "$job")"
ledger "$run" "all(steps[b] == list(range($total)) for b in range(4))" ||
  fail "a step was lost or repeated over three lives of the run"
ledger "$run" "ends[-1]['status'] == 'finished' and saved == {b: $total for b in range(4)}" ||
  fail "the run did not end at step $total"
echo "submitted once more it completes: $total steps of each block, each once"

run=$work/cancelled
job=$(submit 100000000 "$run")
within 120 ledger "$run" 'len(newest) > 0' || fail "job $job does not train"
scancel "$job"
within 60 ended "$job" || fail "job $job does not end when it is cancelled"
within 10 ledger "$run" 'ends[-1]["status"] == "interrupted" and all(saved[b] == steps[b][-1] + 1 for b in range(4))' ||
  fail "job $job did not save when it was cancelled"
echo "a cancelled job saves"

if srun --mpi=list 2>&1 | grep -qw pmix; then
  run=$work/srun
  job=$(BLOCKTRAIN_LAUNCHER=srun submit 20 "$run" --cpus-per-task=1)
  within 120 ended "$job" || fail "job $job does not end: $(scontrol show job "$job")"
  state_is "$job" COMPLETED || fail "job $job did not complete: $(scontrol show job "$job")"
  ledger "$run" 'rows[0]["ranks"] == 4 and all(steps[b] == list(range(20)) for b in range(4))' ||
    fail "the run of job $job did not train 20 steps of 4 blocks on 4 ranks"
  echo "srun starts the ranks as well"
fi
