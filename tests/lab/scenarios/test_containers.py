"""Devices in containers that Podman starts: by name (CDI) and by flags, seen and used from the inside."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.guest import bindings, cli, kernel, podman

if TYPE_CHECKING:
    from collections.abc import Iterator

EDU = "0000:00:03.0"
CARDS = ("0000:02:01.0", "0000:02:02.0")
QEMU = (107, 36)
OWN = ("--owner", "107:36", "--mode", "0640")
SPECIFICATION = Path("/var/run/cdi/vfioctl.io-vfio.json")
UNLIMITED = [-1, -1]
NAME = "vfioctl.io/vfio={}"

pytestmark = [pytest.mark.once, pytest.mark.topologies("legacy"), pytest.mark.deadline(400)]
runtime_alone = pytest.mark.kernels("6.12")
"""For what Podman and crun do before or beside the kernel: it is the same on any, and once is enough."""


@pytest.fixture(autouse=True)
def _podman() -> None:
    """Podman can be used."""
    podman.prepare()


@pytest.fixture
def given() -> Iterator[None]:
    """A device alone in its group, and two cards that share one, on vfio-pci; back at the end."""
    bindings.done("bind", EDU, *CARDS, "--release-shpchp")
    yield
    bindings.done("unbind", EDU, *CARDS)
    cli.vfioctl("cdi", "remove")


def node_of(address: str) -> str:
    """Give the node of a device's group."""
    return f"/dev/vfio/{kernel.group_of(address)}"


def numbers(path: str) -> list[int]:
    """Give the numbers of a node of the guest's."""
    found = os.stat(path).st_rdev
    return [os.major(found), os.minor(found)]


def refused(*arguments: str) -> str:
    """Give what Podman says of a container that must not start."""
    done = podman.run(arguments, "true")
    assert done.returncode != 0, done.stdout
    return done.stderr


def check_nodes(seen: dict[str, Any], *nodes: str) -> None:
    """The container has these nodes and no others, with the guest's numbers, and can use the groups."""
    assert list(seen["nodes"]) == sorted(["/dev/vfio/vfio", *nodes])
    for path, node in seen["nodes"].items():
        assert node["character"], path
        assert node["numbers"] == numbers(path), path
    assert seen["opened"] == dict.fromkeys(sorted(nodes), ""), seen


def test_a_container_gets_what_a_cdi_name_stands_for(given) -> None:
    """Nodes of that device alone, which open; two devices of one group are one node."""
    cli.document("cdi", "generate")
    memory = "--ulimit=memlock=-1:-1"

    one = podman.look("--device", NAME.format(EDU), memory)
    two = podman.look(*(f"--device={NAME.format(address)}" for address in CARDS), memory)
    both = podman.look("--device", NAME.format(EDU), "--device", NAME.format(CARDS[1]), memory)

    check_nodes(one, node_of(EDU))
    check_nodes(two, node_of(CARDS[0]))
    check_nodes(both, node_of(EDU), node_of(CARDS[0]))


@runtime_alone
def test_a_name_that_no_longer_holds_starts_nothing(given) -> None:
    """`cdi list` says so before Podman does; generated again, the name is gone."""
    cli.document("cdi", "generate")
    current = cli.vfioctl("cdi", "list", "--json")
    bindings.done("unbind", EDU)
    stale = cli.vfioctl("cdi", "list")
    said = refused("--device", NAME.format(EDU))
    left = cli.document("cdi", "generate")
    unknown = refused("--device", NAME.format(EDU))
    bindings.done("bind", EDU)

    assert current.exit_code == 0
    assert {device["current"] for device in current.document["devices"]} == {True}
    assert stale.exit_code == 10
    assert "no driver has it now" in stale.stdout
    assert "/dev/vfio/" in said
    assert [device["address"] for device in left["devices"]] == list(CARDS)
    assert "unresolvable" in unknown


@runtime_alone
def test_owner_and_mode_are_those_of_the_nodes_inside(given) -> None:
    """The guest's own stay root's. Without a mode the runtime makes nodes of a name for everybody inside."""
    node, memory = node_of(EDU), "--ulimit=memlock=-1:-1"

    def seen(*words: str) -> dict[str, Any]:
        cli.document("cdi", "generate", *words)
        return podman.look("--user", "{}:{}".format(*QEMU), memory, "--device", NAME.format(EDU))

    others, own, everybody = seen("--owner", "1:1", "--mode", "0600"), seen(*OWN), seen()

    assert others["opened"] == {node: "EACCES"}
    assert own["user"] == list(QEMU)
    assert (own["nodes"][node]["owner"], own["nodes"][node]["mode"]) == (list(QEMU), 0o640)
    check_nodes(own, node)
    assert everybody["nodes"][node]["mode"] == 0o666
    assert (os.stat(node).st_uid, os.stat(node).st_mode & 0o777) == (0, 0o600)


def test_the_flags_are_those_that_podman_needs(given) -> None:
    """The line as the guide has it: no quotes needed, memory may be locked, nothing else is inside."""
    seen = podman.seen(
        podman.shell(f"podman run --rm $(vfioctl container-args --runtime podman {EDU}) IMAGE")
    )
    line = cli.vfioctl("container-args", "--runtime", "podman", EDU).stdout
    without = [word for word in shlex.split(line) if not word.startswith("--ulimit")]

    assert shlex.join(line.split()) == line.strip()
    check_nodes(seen, node_of(EDU))
    assert seen["memlock"] == UNLIMITED
    assert podman.look(*without)["opened"] == {node_of(EDU): "ENOMEM"}


def test_the_flags_of_a_group_and_by_name(given) -> None:
    """The same container, whether nodes are named or devices."""
    cli.document("cdi", "generate")
    for words in ((), ("--cdi",)):
        line = cli.vfioctl("container-args", "--runtime", "podman", *words, "02:01.0", "02:02.0").stdout
        seen = podman.look(*shlex.split(line))

        check_nodes(seen, node_of(CARDS[0]))
        assert seen["memlock"] == UNLIMITED


def test_a_group_that_may_open_the_node_is_handed_on() -> None:
    """`bind --owner root:36 --mode 0660`: a user inside without that group is refused."""
    bindings.done("bind", EDU, "--owner", "0:36", "--mode", "0660")
    try:
        line = shlex.split(cli.vfioctl("container-args", "--runtime", "podman", EDU).stdout)
        others = [word for word in line if not word.startswith("--group-add")]
        seen = podman.look("--user", "107:107", *line)
        refused = podman.look("--user", "107:107", *others)
    finally:
        bindings.done("unbind", EDU)

    assert "--group-add=36" in line
    assert 36 in seen["groups"]
    assert seen["opened"] == {"/dev/vfio/" + str(kernel.group_of(EDU)): ""}
    assert set(refused["opened"].values()) == {"EACCES"}


def test_the_flags_of_a_user_hand_his_limits_on(given) -> None:
    """`--rootless` asks for nothing that a user cannot have; here it is root who does not raise his limit."""
    line = cli.vfioctl("container-args", "--runtime", "podman", "--rootless", EDU).stdout
    words = ["bash", "-c", f"ulimit -l 4096; exec podman run --rm {line.strip()} IMAGE"]

    seen = podman.seen(podman.shell(words[2]))

    assert seen["memlock"] == [4096 << 10, 4096 << 10]
    assert seen["opened"] == {node_of(EDU): "ENOMEM"}


@runtime_alone
def test_a_device_that_is_not_bound_is_described_as_it_will_be() -> None:
    """The flags of before the bind start a container after it."""
    answer = cli.vfioctl("container-args", "--runtime", "podman", EDU)
    bindings.done("bind", EDU)
    try:
        check_nodes(podman.look(*shlex.split(answer.stdout)), node_of(EDU))
    finally:
        bindings.done("unbind", EDU)

    assert "not on a vfio driver yet" in answer.stderr


def test_a_watched_specification_follows_every_bind() -> None:
    """Whoever binds: vfioctl or somebody by hand. Told to end it ends; removed, nothing is left."""
    with subprocess.Popen(
        ["vfioctl", "cdi", "generate", "--watch"], stderr=subprocess.PIPE, text=True
    ) as watch:
        try:
            assert watch.stderr is not None
            assert "no device is on a vfio driver" in watch.stderr.readline()
            bindings.done("bind", EDU)
            kernel.wait_until(lambda: names() == {EDU}, "the specification to have the device")
            seen = podman.look("--device", NAME.format(EDU), "--ulimit=memlock=-1:-1")
            check_nodes(seen, node_of(EDU))
            bindings.done("unbind", EDU)
            kernel.wait_until(lambda: not SPECIFICATION.exists(), "the specification to go")
            with kernel.given_to_vfio([EDU]):
                kernel.wait_until(lambda: names() == {EDU}, "the specification to have it again")
                watch.terminate()
                assert watch.wait(timeout=30) == 0
                assert cli.vfioctl("cdi", "list").exit_code == 0
            assert cli.vfioctl("cdi", "list").exit_code == 10
        finally:
            watch.kill()
    assert cli.vfioctl("cdi", "remove").exit_code == 0
    assert list(SPECIFICATION.parent.iterdir()) == []


def names() -> set[str]:
    """Give the names of the specification on disk."""
    text = SPECIFICATION.read_text(encoding="utf-8") if SPECIFICATION.exists() else '{"devices": []}'
    return {device["name"] for device in json.loads(text)["devices"]}
