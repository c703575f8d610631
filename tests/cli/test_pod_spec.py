from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from vfioctl.export.yaml_source import read_yaml
from vfioctl.libvirt import judge as judging

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

CARD = """
[[resource]]
name = "vfioctl.io/card"
select = ["10de:2484"]
unit = "slot"
[[resource]]
name = "vfioctl.io/vf"
select = ["vfs-of:05:00.0"]
[[resource]]
name = "vfioctl.io/kvm"
kind = "node"
paths = ["/dev/kvm"]
count = 110
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return the file of a configuration."""
    path = tmp_path / "plugin.toml"
    path.write_text(CARD)
    return str(path)


def domain(ask: Ask, folder: Path, *words: str, before: str = "<vcpu>4</vcpu>") -> str:
    """Return the file of a domain that has what libvirt-xml prints."""
    devices = ask("libvirt-xml", *words, host="sample").out
    path = folder / "web1.xml"
    path.write_text(
        f"<domain type='kvm'><name>web 1</name><memory unit='GiB'>4</memory>{before}"
        f"<devices>{devices}</devices></domain>"
    )
    return str(path)


def limits(text: str) -> dict[str, Any]:
    """Return what a printed Pod asks for."""
    (pod,) = read_yaml(text.encode(), "pod")
    (container,) = pod["spec"]["containers"]
    found: dict[str, Any] = container["resources"]["limits"]
    return found


@pytest.fixture(autouse=True)
def without_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no libvirt be installed: output must not depend on it."""
    monkeypatch.setattr(judging, "installed_version", lambda: None)
    monkeypatch.setattr(judging, "load_schema", lambda: None)


def test_a_domain_becomes_a_pod(ask: Ask, config: str, tmp_path: Path, golden: GoldenFiles) -> None:
    """Both functions of a card are one item; /dev/kvm is one as well."""
    huge = "<vcpu>4</vcpu><memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>"
    vm = domain(ask, tmp_path, "02:00", before=huge)

    text = ask("pod-spec", "--domain", vm, "--config", config, host="sample")
    document = ask("pod-spec", "--domain", vm, "--config", config, "--json", host="sample")

    assert (text.code, document.code) == (0, 0)
    assert limits(text.out) == {
        "cpu": "4",
        "memory": "1Gi",
        "hugepages-1Gi": "4Gi",
        "vfioctl.io/card": "1",
        "vfioctl.io/kvm": "1",
    }
    assert read_yaml(text.out.encode(), "pod") == [json.loads(document.out)["pod"]]
    golden.check("pod-spec/domain.yaml", text.out)
    golden.check("pod-spec/domain.json", document.out)


def test_a_domain_may_come_through_a_pipe(
    ask: Ask, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`virsh dumpxml | vfioctl pod-spec --domain -`, and what is no domain is said to come from there."""
    vm = domain(ask, tmp_path, "02:00")
    with open(vm, "rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        piped = ask("pod-spec", "--domain", "-", "--config", config, host="sample")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"kind: Pod\n")))
    wrong = ask("pod-spec", "--domain", "-", host="sample")

    assert piped == ask("pod-spec", "--domain", vm, "--config", config, host="sample")
    assert wrong.code == 2
    assert "stdin is not XML" in wrong.err


def test_what_libvirt_only_detaches_is_not_asked_for(ask: Ask, tmp_path: Path) -> None:
    """`unassigned`: for the group's sake. Memory is that of the VM and what is locked beside it."""
    vm = domain(ask, tmp_path, "02:00.0", "--group", before="<memoryBacking><hugepages/></memoryBacking>")

    ended = ask("pod-spec", "--domain", vm, host="sample")

    assert limits(ended.out) == {"vfioctl.io/10de_2484": "1", "memory": "1Gi", "hugepages-2Mi": "4Gi"}
    assert "no resource offers /dev/kvm" in ended.err


def test_a_vm_of_kubevirt_becomes_a_pod(ask: Ask, tmp_path: Path) -> None:
    """What it names is asked for, as long as it is configured."""
    path = tmp_path / "vmi.yaml"
    path.write_text(ask("kubevirt", "snippet", "--part", "vmi", host="sample").out)

    known = ask("pod-spec", "--vmi", str(path), host="sample")
    elsewhere = ask("pod-spec", "--vmi", str(path), host="server")

    assert set(limits(known.out).values()) == {"1"}
    assert len(limits(known.out)) == 3
    assert elsewhere.code == 3
    assert "no resource is called" in elsewhere.err


def test_a_device_that_nobody_offers_is_refused_with_what_would(
    ask: Ask, config: str, tmp_path: Path
) -> None:
    """The hint is a table for the configuration, and it works."""
    ended = ask("pod-spec", "03:00.0", "--config", config, host="sample")

    assert (ended.code, ended.out) == (3, "")
    assert "no configured resource offers 0000:03:00.0" in ended.err
    assert "# after: vfioctl bind 0000:03:00.0" in ended.err
    _, _, hint = ended.err.partition("hint: this would:\n")
    more = tmp_path / "more.toml"
    more.write_text(CARD + "\n".join(line.strip() for line in hint.splitlines()))
    assert "vfioctl.io/144d_a80a" in limits(
        ask("pod-spec", "03:00.0", "--config", str(more), host="sample").out
    )


def test_a_device_that_is_not_bound_yet_is_asked_for_with_a_warning(ask: Ask, config: str) -> None:
    """The resource is configured; what the host lacks is said."""
    ended = ask("pod-spec", "05:02.0", "--config", config, host="sample")

    assert limits(ended.out)["vfioctl.io/vf"] == "1"
    assert "warning: 0000:05:02.0: vfioctl.io/vf cannot give it away now: " in ended.err
    assert "vfioctl plugin explain 0000:05:02.0" in ended.err


def test_one_of_several_is_not_this_one(ask: Ask) -> None:
    """A Pod names a resource; which device it gets is the kubelet's choice."""
    ended = ask("pod-spec", "17:01.1", host="server")

    assert limits(ended.out) == {"vfioctl.io/8086_1889": "1"}
    assert "the kubelet takes 1 of the 2 of vfioctl.io/8086_1889" in ended.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("02:00.0", "--vmi", "-"), 2),
        (("99:00.0",), 3),
        (("--domain", "/none"), 3),
        (("--vmi", "/none"), 3),
    ],
)
def test_what_the_vm_needs_is_said_once(words: tuple[str, ...], code: int, ask: Ask) -> None:
    """Selectors, a domain, or a VM."""
    ended = ask("pod-spec", *words, host="sample")

    assert (ended.code, ended.out) == (code, "")


def test_a_mediated_device_is_asked_for_by_its_uuid(ask: Ask, tmp_path: Path) -> None:
    """And what would offer it is said where nobody does; a number of CPUs that is none is not asked for."""
    vm, config = tmp_path / "vm.xml", tmp_path / "plugin.toml"
    vm.write_text(
        "<domain><name>v</name><memory>1048576</memory><vcpu>x</vcpu><devices>"
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'>"
        "<source><address uuid='4b20d080-1b54-4048-85b3-a6a62d165c01'/></source></hostdev>"
        "</devices></domain>"
    )
    config.write_text(CARD)

    refused = ask("pod-spec", "--domain", str(vm), "--config", str(config), host="mdev")
    _, _, hint = refused.err.partition("hint: this would:\n")
    config.write_text("\n".join(line.strip() for line in hint.splitlines()))
    given = ask("pod-spec", "--domain", str(vm), "--config", str(config), host="mdev")

    assert refused.code == 3
    assert limits(given.out) == {"memory": "2Gi", "vfioctl.io/mdev": "1"}


def test_devices_of_several_numa_nodes_are_warned_of(ask: Ask) -> None:
    """A strict topology manager would not admit the Pod."""
    one, both = (
        ask("pod-spec", "98:00.0", host="server"),
        ask("pod-spec", "98:00.0", "17:01.3", host="server"),
    )

    assert "NUMA" not in one.err
    assert "on NUMA nodes 0 1" in both.err
