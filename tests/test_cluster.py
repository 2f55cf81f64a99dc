"""Several computers: two network namespaces with a link between them, and a real Slurm.

Each namespace has a host name and an /etc/hosts of its own, so MPI takes it for a computer.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from easgd_lib.errors import MPIError
from easgd_lib.parallel import allocation
from easgd_lib.paths import ROOT

ROOT_USER = hasattr(os, "getuid") and os.getuid() == 0
TRAIN = ["easgd_lib", "train", "--method", "easgd", "--data", "sample", "--steps", "20"]
NAMES = ("first-host", "second-host")


def test_nodes_of_a_job_or_a_hostfile(tmp_path, monkeypatch):
    for name in ("SLURM_JOB_NODELIST", "SLURM_NODELIST", "PBS_NODEFILE"):
        monkeypatch.delenv(name, raising=False)
    assert allocation.nodes() == []
    assert not allocation.several()
    hosts = tmp_path / "hosts"
    hosts.write_text("# ours\na slots=2\nb\n\na\n")
    assert allocation.nodes(str(hosts)) == ["a", "b"]
    monkeypatch.setenv("PBS_NODEFILE", str(hosts))
    assert allocation.several()
    hosts.write_text("localhost\n")
    assert not allocation.several()
    hosts.write_text("# nobody\n")
    with pytest.raises(MPIError, match="names no host"):
        allocation.nodes()
    with pytest.raises(MPIError, match="cannot be read"):
        allocation.nodes(str(tmp_path / "nowhere"))


def test_the_address_is_that_of_the_way_to_another_host():
    assert allocation.address(["127.0.0.2"]) == "127.0.0.1"
    with pytest.raises(MPIError, match="reached from here"):
        allocation.address(["no-such-host.invalid"])


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess:
    ran = subprocess.run(
        words, env=dict(os.environ) | environment, capture_output=True, text=True, timeout=120,
        check=False, cwd=ROOT,
    )  # fmt: skip
    return ran


@pytest.fixture
def two_hosts(tmp_path):
    """The words that run a command on the first of two hosts, and the environment it needs."""
    if not (ROOT_USER and shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("network namespaces need root, ip and unshare")
    spaces = [f"easgd-{os.getpid()}-{k}" for k in (1, 2)]
    made = run(["ip", "netns", "add", spaces[0]])
    if made.returncode:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    try:
        run(["ip", "netns", "add", spaces[1]])
        ends = ["type", "veth", "peer", "name", "end2", "netns"]
        run(["ip", "-n", spaces[0], "link", "add", "end1", *ends, spaces[1]])
        for k, space in enumerate(spaces, 1):
            run(["ip", "-n", space, "addr", "add", f"10.9.0.{k}/24", "dev", f"end{k}"])
            for link in ("lo", f"end{k}"):
                run(["ip", "-n", space, "link", "set", link, "up"])
        names = tmp_path / "names"
        names.write_text("127.0.0.1 localhost\n10.9.0.1 first-host\n10.9.0.2 second-host\n")
        agent = tmp_path / "agent"  # in the place of ssh
        agent.write_text(
            f"#!/bin/bash\nhost=$1; shift\n"
            f"[ $host = first-host ] && space={spaces[0]} || space={spaces[1]}\n"
            f"exec ip netns exec $space unshare -um bash -c 'hostname $0; "
            f'mount --bind {names} /etc/hosts; exec bash -c "$*"\' $host "$@"\n'
        )
        agent.chmod(0o755)
        hosts = tmp_path / "hosts"
        hosts.write_text("".join(f"{name} slots=2\n" for name in NAMES))
        yield [str(agent), NAMES[0]], {"PRTE_MCA_plm_ssh_agent": str(agent)}, hosts
        deadline = time.monotonic() + 15  # the watchdog ends a moment after its client
        while left := [p for s in spaces for p in run(["ip", "netns", "pids", s]).stdout.split()]:
            assert time.monotonic() < deadline, [psutil.Process(int(p)).cmdline() for p in left]
            time.sleep(0.2)
    finally:
        for space in spaces:
            for pid in run(["ip", "netns", "pids", space]).stdout.split():
                run(["kill", "-9", pid])
            run(["ip", "netns", "del", space])


@pytest.mark.engines
def test_engines_on_two_hosts_of_a_hostfile(two_hosts, tmp_path):
    there, environment, hosts = two_hosts
    out = tmp_path / "run.json"
    more = f"--workers 3 --center server --hostfile {hosts} --out {out}".split()
    ran = run([*there, sys.executable, "-m", *TRAIN, *more], **environment)
    assert ran.returncode == 0, ran.stderr
    where = json.loads(out.read_text())["environment"]
    assert (where["ranks"], where["computers"]) == (4, 2)


@pytest.mark.engines
def test_shared_memory_on_two_hosts_is_one_line(two_hosts):
    there, environment, hosts = two_hosts
    more = f"--workers 4 --hostfile {hosts}".split()
    ran = run([*there, sys.executable, "-m", *TRAIN, *more], **environment)
    assert ran.returncode == 2
    assert "across several use --center server" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.engines
def test_a_tree_over_two_hosts(two_hosts, tmp_path):
    """A node on each, and the root beside the first; where a node is torn apart, one line."""
    there, environment, hosts = two_hosts
    out = tmp_path / "run.json"
    more = f"--workers 4 --center tree --hostfile {hosts}".split()
    ranks = (4, 1), (3, 2)  # worker 2 without worker 3; both on the second host
    texts = [f"{NAMES[0]} slots={n}\n{NAMES[1]} slots={m}\n" for n, m in ranks]
    hosts.write_text(texts[0])
    ran = run([*there, sys.executable, "-m", *TRAIN, *more], **environment)
    assert ran.returncode == 2
    assert "are on several computers" in ran.stderr
    hosts.write_text(texts[1])
    ran = run([*there, sys.executable, "-m", *TRAIN, *more, "--out", str(out)], **environment)
    assert ran.returncode == 0, ran.stderr
    where = json.loads(out.read_text())["environment"]
    assert (where["ranks"], where["computers"]) == (5, 2)


SLURM = """
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=6917
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17101 CPUs=4
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17102 CPUs=4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A Slurm of two nodes, both on this machine: the words before a command, its environment.

    Its munge daemon has a socket and a key of its own: nothing outside the folder is used.
    """
    if not (ROOT_USER and shutil.which("slurmctld") and shutil.which("munged")):
        pytest.skip("Slurm is not installed (Debian: slurmctld slurmd slurm-client munge)")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir(parents=True)
    host = os.uname().nodename
    (folder / "slurm.conf").write_text(SLURM.format(host=host, folder=folder))
    names = folder / "names"
    names.write_text(Path("/etc/hosts").read_text() + "\n127.0.0.1 n1 n2\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    own = [f"--{part}-file={folder}/munge.{part}" for part in ("key", "log", "pid", "seed")]
    inside = ["unshare", "-m", "bash", "-c", f'mount --bind {names} /etc/hosts; exec "$@"', "in"]
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    parts = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *own],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "n1"],
        ["slurmd", "-D", "-N", "n2"],
    ]
    env = dict(os.environ) | environment
    running = []
    try:
        for part in parts:
            with (folder / f"{part[0]}-{part[-1]}.out".replace("/", "_")).open("w") as out:
                running.append(subprocess.Popen([*inside, *part], env=env, stdout=out, stderr=out))
        deadline = time.monotonic() + 60
        while "2 " not in run(["sinfo", "-h", "-t", "idle", "-o", "%D "], **environment).stdout:
            said = [log.read_text()[-500:] for log in folder.glob("*.log")]
            assert time.monotonic() < deadline, f"the nodes did not become idle: {said}"
            time.sleep(0.5)
        yield inside, environment
        run(["scancel", "--full", "-u", "root"], **environment)
    finally:
        for part in reversed(running):
            part.terminate()
            part.wait(30)


@pytest.mark.engines
def test_a_job_of_two_nodes_is_used_whole_and_plain_srun_is_told_what_to_type(slurm, tmp_path):
    inside, environment = slurm
    out = tmp_path / "run.json"
    words = [sys.executable, "-m", *TRAIN, "--workers", "3", "--center", "server"]
    job = ["salloc", "-Q", "-N2", "-n4"]
    ran = run([*inside, *job, *words, "--out", str(out)], **environment)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(out.read_text())["environment"]["ranks"] == 4
    tasks = run([*inside, *["srun", "-N1", "-n2"], *words], **environment)
    assert tasks.returncode == 2
    assert "each an MPI world of its own" in tasks.stderr
    assert "Traceback" not in tasks.stderr


@pytest.mark.engines
def test_the_sbatch_script_as_the_page_gives_it(slurm):
    inside, environment = slurm
    if not (ROOT / ".venv").exists():
        pytest.skip("the script is for a clone with its .venv")
    more = ["--method", "easgd", "--data", "sample", "--steps", "20", "--workers", "3"]
    words = ["sbatch", "--wait", "--parsable", "docs/easgd.sbatch", *more]
    ran = run([*inside, *words], **environment)
    number = ran.stdout.strip()
    found, said = ROOT / f"easgd-{number}.json", ROOT / f"slurm-{number}.out"
    try:
        assert ran.returncode == 0, said.read_text()
        assert json.loads(found.read_text())["environment"]["ranks"] == 4
    finally:
        found.unlink(missing_ok=True)
        said.unlink(missing_ok=True)
