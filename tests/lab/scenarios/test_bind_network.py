"""Interfaces that the host needs: routes, bonds, bridges, and the ssh session of whoever types."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

NIC, PEER_NIC = "0000:01:00.0", "0000:04:00.0"
SESSION = ("192.0.2.10", "192.0.2.20")
"""This guest's address, on the interface with the default route, and that of the other end."""
NAMESPACE = "peer"

pytestmark = [pytest.mark.once, pytest.mark.topologies("server"), pytest.mark.deadline(180)]


def ip(*words: str) -> None:
    """Run iproute2's program, which must succeed."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)


def interface_of(address: str) -> str:
    """Give the name of a device's interface."""
    (interface,) = (kernel.DEVICES / address / "net").iterdir()
    return interface.name


@contextmanager
def up(address: str) -> Iterator[str]:
    """The interface of a device, up; as it was at the end, if it is still there."""
    name = interface_of(address)
    ip("link", "set", name, "up")
    try:
        yield name
    finally:
        if Path(f"/sys/class/net/{name}").exists():
            ip("address", "flush", "dev", name)
            ip("link", "set", name, "down")


@contextmanager
def enslaved(name: str, kind: str) -> Iterator[str]:
    """A bond or bridge of this name with the interface in it."""
    kernel.modprobe({"bond": "bonding"}.get(kind, kind))
    master = f"lab{kind}"
    ip("link", "add", master, "type", kind)
    try:
        ip("link", "set", name, "down")
        ip("link", "set", name, "master", master)
        yield master
    finally:
        ip("link", "delete", master)


def lifted(address: str, check: str) -> None:
    """The check, and no other one, stands in the way."""
    others = [word for other in ("storage", "console", "gpu-busy", "input") for word in ("--force", other)]
    bindings.refused("bind", address, *others, check=f"[{check}]")
    document = bindings.done("bind", "--dry-run", address, "--force", check)
    assert bindings.checks(document) == set()
    assert check in bindings.checks(document, "warn")


def test_the_interface_with_the_default_route_is_refused(topology):
    """It names the route and the interface."""
    answer = bindings.refused("bind", topology.default_route, check="[net]")
    assert interface_of(topology.default_route) in answer.stderr
    assert "default route" in answer.stderr
    lifted(topology.default_route, "net")


@pytest.mark.parametrize("kind", ["bond", "bridge"])
def test_an_interface_in_a_bond_or_bridge_is_refused(kind):
    """It names what it is part of."""
    with up(NIC) as name, enslaved(name, kind) as master:
        answer = bindings.refused("bind", NIC, check="[net]")
        assert name in answer.stderr
        assert master in answer.stderr
        lifted(NIC, "net")


def test_a_default_route_through_a_vlan_on_a_bond_is_seen_on_the_card():
    """Two levels up from the card: the route is not the card's own."""
    with up(NIC) as name, enslaved(name, "bond") as master:
        kernel.modprobe("8021q")
        ip("link", "add", "link", master, "name", "labvlan", "type", "vlan", "id", "7")
        ip("link", "set", master, "up")
        ip("link", "set", "labvlan", "up")
        ip("address", "add", "198.51.100.2/24", "dev", "labvlan")
        ip("route", "add", "default", "via", "198.51.100.1", "metric", "900")
        answer = bindings.refused("bind", NIC, check="[net]")
        assert "labvlan" in answer.stderr
        assert "default route" in answer.stderr


def test_an_interface_that_is_only_up_is_bound_with_a_warning():
    """An address is worth a word, not a refusal."""
    before = bindings.bindings()
    with up(NIC) as name:
        ip("address", "add", "198.51.100.2/24", "dev", name)
        answer = cli.vfioctl("bind", NIC)
        assert answer.exit_code == 0, answer.stderr
        assert name in answer.stderr
        assert "[net]" in answer.stderr
        bindings.done("unbind", NIC)
    assert bindings.bindings() == before


def test_force_net_takes_a_card_with_a_default_route_and_gives_it_back():
    """What was forced really happens; the other refusals would still have stood."""
    before = bindings.bindings()
    with up(NIC) as name:
        ip("address", "add", "198.51.100.2/24", "dev", name)
        ip("route", "add", "default", "via", "198.51.100.1", "metric", "900")
        bindings.refused("bind", NIC, check="[net]")
        done = bindings.done("bind", NIC, "--force", "net")
        assert kernel.driver_of(NIC) == "vfio-pci"
        assert "net" in bindings.checks(done, "warn")
        bindings.done("unbind", NIC)
    assert bindings.bindings() == before


@pytest.fixture(scope="module")
def login() -> Iterator[list[str]]:
    """The start of a command that runs on this guest through ssh, from the other end of the wire."""
    Path("/run/sshd").mkdir(exist_ok=True)
    keys = Path("/run/lab-ssh")
    keys.mkdir(mode=0o700, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    entry = "sshd:x:109:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd = Path("/etc/passwd")
    if "sshd:" not in passwd.read_text(encoding="ascii"):
        passwd.write_text(passwd.read_text(encoding="ascii") + entry, encoding="ascii")
    root = next(line for line in passwd.read_text(encoding="ascii").splitlines() if line.startswith("root:"))
    assert root.endswith("bash"), root
    options = {
        "HostKey": keys / "host", "AuthorizedKeysFile": keys / "user.pub", "UsePAM": "no",
        "StrictModes": "no", "ListenAddress": SESSION[0], "PermitRootLogin": "yes",
        "PidFile": "none", "UseDNS": "no",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    ip("netns", "add", NAMESPACE)
    name = interface_of(PEER_NIC)
    ip("link", "set", name, "netns", NAMESPACE)
    ip("-n", NAMESPACE, "address", "add", f"{SESSION[1]}/24", "dev", name)
    ip("-n", NAMESPACE, "link", "set", name, "up")
    daemon = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *words], stderr=subprocess.PIPE
    )
    ssh = ["ip", "netns", "exec", NAMESPACE, "ssh", "-F", "none", "-i", str(keys / "user")]
    ssh += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    ssh += ["-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", f"root@{SESSION[0]}", "cd", "/checkout", "&&"]
    ssh += ["export", "PYTHONPATH=/checkout", "&&"]
    try:
        kernel.wait_until(partial(_succeeds, [*ssh, "true"]), "a login through ssh", 60)
        yield ssh
    finally:
        daemon.terminate()
        daemon.wait(timeout=20)
        ip("netns", "delete", NAMESPACE)
        kernel.wait_until((kernel.DEVICES / PEER_NIC / "net" / name).exists, "the interface", 30)
        kernel.settle()


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


WITHOUT_VARIABLES = "env -u SSH_CONNECTION -u SSH_CLIENT -u SSH_TTY setsid --wait"


# How a session is found without its variables is for no kernel to say: processes and sockets are the same.
@pytest.mark.parametrize("way", ["", pytest.param(WITHOUT_VARIABLES, marks=pytest.mark.kernels("6.12"))])
def test_the_card_that_carries_the_ssh_session_is_refused(login, topology, way):
    """A real session over a real wire, also where sudo has taken the session's variables away."""
    before = bindings.bindings()
    line = [*login, *way.split(), "vfioctl", "bind", topology.default_route, "--force", "net"]
    started = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, (done.stdout, done.stderr)
    assert "[ssh]" in done.stderr, done.stderr
    assert SESSION[1] in done.stderr, done.stderr
    assert interface_of(topology.default_route) in done.stderr
    assert time.monotonic() - started < 60
    assert bindings.bindings() == before
    lifted_line = [*login, *way.split(), "vfioctl", "bind", "-n", topology.default_route]
    lifted_line += ["--force", "net", "--force", "ssh"]
    assert subprocess.run(lifted_line, capture_output=True, check=False).returncode == 0
    elsewhere = [*login, *way.split(), "vfioctl", "bind", "-n", NIC]
    assert subprocess.run(elsewhere, capture_output=True, check=False).returncode == 0


def test_a_session_that_only_the_environment_tells_of_is_believed(topology, monkeypatch):
    """As sudo -E leaves it."""
    monkeypatch.setenv("SSH_CONNECTION", f"{SESSION[1]} 50000 {SESSION[0]} 22")
    answer = bindings.refused("bind", topology.default_route, "--force", "net", check="[ssh]")
    assert SESSION[1] in answer.stderr
    assert "SSH_CONNECTION" in os.environ
