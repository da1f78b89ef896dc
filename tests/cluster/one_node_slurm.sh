#!/bin/sh
# A real Slurm of one node on this machine, for trying the profile workflow/profiles/slurm without a cluster.
#
#   apt-get install slurm-wlm munge            Debian's packages; nothing of them need be configured or running
#   tests/cluster/one_node_slurm.sh start DIR  starts munged, slurmctld and slurmd, as root, on the loopback address
#                                              and puts a link to DIR at /run/slurm/conf, where sinfo, sbatch, srun and
#                                              Snakemake's executor look where there is no /etc/slurm/slurm.conf
#   tests/cluster/one_node_slurm.sh stop DIR   ends the three and removes the link; DIR keeps their logs
#
# The node claims 16 processors, 64 GB and 2 GPUs, whatever the machine has, so that the rules' requests are granted;
# the GPUs are /dev/null. Nothing limits what a job really takes. Ports: 26817 and 26818.
set -eu

action=${1:?start or stop}
folder=${2:?a folder}

stop() {
    folder=$(cd "$folder" && pwd -P)
    for name in slurmd slurmctld munged; do
        if [ -s "$folder/$name.pid" ]; then
            kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
            rm -f "$folder/$name.pid"
        fi
    done
    [ "$(readlink /run/slurm/conf 2>/dev/null)" != "$folder" ] || rm /run/slurm/conf
}

configure() {
    host=$(hostname -s)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SlurmdParameters=config_overrides
PropagatePrioProcess=1
MinJobAge=3600
MpiDefault=none
ReturnToService=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    printf 'NodeName=%s Name=gpu Count=2 File=/dev/null,/dev/zero\n' "$host" >"$folder/gres.conf"
    printf 'CgroupAutomount=no\n' >"$folder/cgroup.conf"
}

start() {
    for name in munged slurmctld slurmd; do
        command -v "$name" >/dev/null || { echo "$name is missing: apt-get install slurm-wlm munge" >&2; exit 3; }
    done
    [ "$(id -u)" = 0 ] || { echo "slurmd must be started as root" >&2; exit 3; }
    if [ -e /etc/slurm/slurm.conf ] || [ -e /run/slurm/conf ]; then
        echo "there is a Slurm configuration on this machine already" >&2
        exit 3
    fi
    mkdir -p "$folder/state" "$folder/spool" /run/slurm
    folder=$(cd "$folder" && pwd -P)
    ln -s "$folder" /run/slurm/conf
    chmod 755 "$folder"
    configure
    (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
    munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    slurmctld -c -f "$folder/slurm.conf" || { stop; exit 1; }
    slurmd -c -f "$folder/slurm.conf" || { stop; exit 1; }
    for _ in $(seq 60); do
        if sinfo --noheader --format %t 2>/dev/null | grep -q idle; then
            return
        fi
        sleep 0.5
    done
    echo "the node did not come up; see $folder/*.log" >&2
    tail -n 5 "$folder"/*.log >&2
    stop
    exit 1
}

case $action in
start) start ;;
stop) stop ;;
*) echo "usage: $0 start|stop DIR" >&2; exit 2 ;;
esac
