from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete
from lxml import etree

from tests.libvirt.domains import FULL, MINIMAL
from tests.support.fixtures import HOST_NAMES
from tests.support.tree import HostTree
from tests.sysfs.test_usb import HUB, STICK, plug
from vfioctl.cli.tree import COMMANDS, root
from vfioctl.libvirt import judge as judging
from vfioctl.libvirt.devices import read
from vfioctl.libvirt.values import identity
from vfioctl.libvirt.version import Version
from vfioctl.model.address import PciAddress

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.in_process import Ended, Program

GPU, AUDIO = "0000:01:00.0", "0000:01:00.1"
SUBCOMMAND = "libvirt-xml"


@pytest.fixture(autouse=True)
def without_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no libvirt be installed, unless a test says so: output must not depend on it."""
    monkeypatch.setattr(judging, "installed_version", lambda: None)
    monkeypatch.setattr(judging, "load_schema", lambda: None)


@pytest.fixture
def vm(tmp_path: Path) -> Path:
    """Return a domain's file."""
    path = tmp_path / "vm.xml"
    path.write_bytes(MINIMAL.encode())
    return path


def sample(ask: Ask, *arguments: str) -> Ended:
    """Call the command on the sample host."""
    return ask(SUBCOMMAND, *arguments, host="sample")


def elements(text: str) -> list[etree._Element]:
    """Return the elements of what was printed; comments are none."""
    root = etree.fromstring(f"<root>{text}</root>")
    return [node for node in root if isinstance(node.tag, str)]


def test_a_function_is_printed_with_its_name(ask: Ask) -> None:
    """The fragment on stdout, what to know on stderr."""
    ended = sample(ask, "01:00.0")

    assert ended.code == 0
    assert ended.out.startswith(f"<!-- {GPU} [10de:2204] NVIDIA Corporation GA102 ")
    (hostdev,) = elements(ended.out)
    assert dict(hostdev.attrib) == {"mode": "subsystem", "type": "pci", "managed": "yes"}
    assert "boot VGA" in ended.err
    assert f"{AUDIO}: snd_hda_intel" in ended.err


def test_a_card_is_one_card_in_the_guest(ask: Ask) -> None:
    """--guest-slot: its functions keep their numbers, the first has the ROM."""
    ended = sample(ask, "01:00", "--guest-slot", "05:00", "--rom", "/a.rom", "--wrap")

    root = etree.fromstring(ended.out)
    places = [node.find("address").attrib for node in root.iterfind("hostdev")]  # type: ignore[union-attr]
    assert root.tag == "devices"
    assert [(one["bus"], one["slot"], one["function"], one.get("multifunction")) for one in places] == [
        ("0x05", "0x00", "0x0", "on"),
        ("0x05", "0x00", "0x1", None),
    ]
    assert [node.find("rom") is not None for node in root.iterfind("hostdev")] == [True, False]
    assert "different slots" not in ended.err
    assert "different slots" in sample(ask, "01:00").err


def test_the_rest_of_the_group_comes_unseen(ask: Ask) -> None:
    """--group: endpoints only, and then the group is viable."""
    ended = sample(ask, "01:00.0", "--group")

    first, second = elements(ended.out)
    assert first.find("address") is None
    assert second.find("address[@type='unassigned']") is not None
    assert "not viable" not in ended.err


def test_a_virtual_function_is_an_interface(ask: Ask) -> None:
    """--interface and what goes with it, in libvirt's order."""
    host = json.loads(ask("scan", "--json", host="server").out)
    address = next(one["address"] for one in host["devices"] if (one["sriov"] or {}).get("role") == "virtual")
    ended = ask(
        SUBCOMMAND, address, "--interface", "--mac", "52:54:00:12:34:56", "--vlan", "42", "--trust",
        "--teaming-persistent", "ua-backup0", "--managed", "no", host="server",
    )  # fmt: skip

    assert ended.code == 0, ended.err
    (interface,) = elements(ended.out)
    assert [node.tag for node in interface] == ["mac", "source", "vlan", "teaming"]
    assert dict(interface.attrib) == {"type": "hostdev", "managed": "no", "trustGuestRxFilters": "yes"}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ((), 2, "no device is named"),
        (("01:00.0", "--wrap", "--nodedev"), 2, "exclude each other"),
        (("01:00.0", "--remove"), 2, "for --domain"),
        (("01:00.0", "--all"), 2, "for --domain"),
        (("01:00.0", "--check", "vm.xml"), 2, "no selectors"),
        (("01:00.0", "--vlan", "1"), 2, "is for virtual functions"),
        (("01:00.0", "--startup-policy", "optional"), 2, "is for USB devices"),
        (("01:00.0", "--interface", "--nvme", "1"), 2, "exclude each other"),
        (("01:00.0", "07:04.0", "--boot", "1"), 2, "--boot is for one device"),
        (("01:00.0", "07:04.0", "--rom", "/a"), 2, "--rom is for one device"),
        (("01:00.0", "07:04.0", "--guest-slot", "05:00"), 2, "place of one card"),
        (("01:00.0", "--alias", "gpu"), 2, "would drop the alias"),
        (("01:00.0", "--rom", "card.rom"), 2, "no absolute path"),
        (("01:00.0", "--guest-slot", "5"), 2, "not a slot"),
        (("01:00.0", "--libvirt-version", "new"), 2, "not a release"),
        (("01:00.0", "--iommufd"), 5, "since 12.1.0"),
        (("01:00.0", "--domain-iommufd"), 5, "since 12.2.0"),
        (("01:00.0", "--driver-model", "x"), 5, "since 10.0.0"),
        (("01:00.0", "--display", "on", "--libvirt-version", "10.2"), 5, "since 10.3.0"),
        (("01:00.0", "--ramfb", "on", "--libvirt-version", "12.8"), 2, "ramfb needs the display"),
        (("01:00.0", "--interface"), 5, "no virtual function"),
        (("01:00.0", "--nvme", "1"), 5, "no NVMe controller"),
        (("00:01.0",), 5, "bridges stay with the host"),
        (("class:bridge",), 5, "nothing but bridges"),
        (("99:00.0",), 3, "nothing here matches"),
        (("mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",), 3, "nothing here matches"),
        (("usb:046d:c52b",), 3, "does not say which USB devices"),
        (("usb:046d:c52b,numa:0",), 2, "alone"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_printed(
    ask: Ask, arguments: tuple[str, ...], code: int, word: str
) -> None:
    """With what to do instead; invalid XML never reaches stdout."""
    ended = sample(ask, *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert word in ended.err
    assert "\nhint: " in ended.err


def test_bridges_in_a_group_are_not_meant(ask: Ask) -> None:
    """A group is named for its endpoints."""
    assert len(elements(sample(ask, "group:1").out)) == 2


def test_a_newer_libvirt_gets_more(ask: Ask) -> None:
    """--libvirt-version: gates open."""
    ended = sample(
        ask, "01:00.0", "--iommufd", "--driver-model", "nvgrace_gpu_vfio_pci", "--libvirt-version", "12.1"
    )

    (hostdev,) = elements(ended.out)
    assert dict(hostdev.find("driver").attrib) == {"model": "nvgrace_gpu_vfio_pci", "iommufd": "yes"}  # type: ignore[union-attr]
    whole = sample(ask, "01:00.0", "--domain-iommufd", "--libvirt-version", "12.2", "--wrap")
    assert [node.tag for node in etree.fromstring(whole.out)] == ["iommufd", "devices"]


def test_names_and_commands_are_for_virsh(ask: Ask, tmp_path: Path) -> None:
    """--nodedev; --virsh prints what a shell can run, whatever the VM is called."""
    assert sample(ask, "01:00", "--nodedev").out == "pci_0000_01_00_0\npci_0000_01_00_1\n"
    name = "web'1; touch hacked"
    script = sample(ask, "01:00.0", "--virsh", name).out
    assert script.startswith(f"virsh attach-device {shlex.quote(name)} /dev/stdin --persistent <<'XML'\n")
    stub = tmp_path / "virsh"
    stub.write_text('#!/bin/sh\nprintf "%s|" "$@"\ncat "$3"\n')
    stub.chmod(0o755)
    ended = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith(f"attach-device|{name}|/dev/stdin|--persistent|<!-- {GPU}")
    assert not (tmp_path / "hacked").exists()
    card = sample(ask, "01:00", "--guest-slot", "05:00", "--virsh", "vm").out
    assert card.count(" --config <<'XML'") == 2


def test_json_has_it_all(ask: Ask) -> None:
    """A stable document: the elements as text, findings as in a plan."""
    document = sample(ask, "01:00.0", "--group", "--json").document

    assert (document["schema"], document["kind"], document["libvirt_version"]) == (1, "libvirt-xml", "9.0.0")
    assert document["schema_checked"] is False
    assert [(one["name"], one["nodedev"], one["sibling"]) for one in document["devices"]] == [
        (GPU, "pci_0000_01_00_0", False),
        (AUDIO, "pci_0000_01_00_1", True),
    ]
    assert all(etree.fromstring(one["xml"]).tag == "hostdev" for one in document["devices"])
    assert [set(one) for one in document["findings"]] == [{"check", "severity", "address", "message", "hint"}]
    assert document["domain_xml"] is None


def test_a_domain_gets_devices_once_and_loses_them_again(ask: Ask, vm: Path) -> None:
    """Put in, there already, taken out, not there: the file as it was."""
    first = sample(ask, "01:00", "--domain", str(vm))
    assert (first.code, first.out) == (0, f"{vm}: put in: {GPU} {AUDIO}\n")
    assert f"virsh define {vm}" in first.err
    inode, content = vm.stat().st_ino, vm.read_bytes()
    assert b"bus='0x01' slot='0x00' function='0x0' multifunction='on'" in content
    again = sample(ask, "01:00", "--domain", str(vm))
    assert (again.code, again.out) == (0, f"{vm}: there already: {GPU} {AUDIO}\n")
    assert (vm.stat().st_ino, vm.read_bytes()) == (inode, content)
    gone = sample(ask, "01:00", "--domain", str(vm), "--remove")
    assert gone.out == f"{vm}: taken out: {GPU} {AUDIO}\n"
    assert vm.read_bytes() == MINIMAL.encode()
    assert sample(ask, "01:00", "--domain", str(vm), "--remove").out == f"{vm}: not there: {GPU} {AUDIO}\n"


def test_what_a_domain_becomes_is_a_document_too(ask: Ask, vm: Path) -> None:
    """--json: what changed, and what did not."""
    document = sample(ask, "01:00.0", "--domain", str(vm), "--json").document

    assert (document["kind"], document["changed"], document["unchanged"]) == ("libvirt-domain", [GPU], [])
    assert {one["check"] for one in document["findings"]} >= {"X2", "usage"}


def test_a_device_that_is_gone_can_be_taken_out(ask: Ask, vm: Path) -> None:
    """By its address, its UUID, its id or port: that is what one does with a device that broke."""
    gone = (
        "<hostdev type='pci'><source><address bus='0x99'/></source></hostdev>"
        "<hostdev type='mdev' model='vfio-pci'><source>"
        "<address uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source></hostdev>"
        "<hostdev type='usb'><source><vendor id='0x1234'/><product id='0x5678'/></source></hostdev>"
        "<hostdev type='usb'><source><address bus='3' port='1.2'/></source></hostdev>"
    )
    vm.write_bytes(MINIMAL.replace("  </devices>", f"{gone}  </devices>").encode())

    ended = sample(
        ask, "99:00.0", "mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "usb:1234:5678", "usb:3-1.2",
        "--domain", str(vm), "--remove",
    )  # fmt: skip

    assert ended.code == 0, ended.err
    assert ended.out.count(":") >= 4
    assert b"hostdev" not in vm.read_bytes()


def test_a_change_needs_exact_names(ask: Ask, vm: Path) -> None:
    """A broad selector that matches several is refused, unless all are meant."""
    ended = sample(ask, "10de:*", "--domain", str(vm))

    assert ended.code == 2
    assert "--all" in ended.err
    assert vm.read_bytes() == MINIMAL.encode()
    assert sample(ask, "10de:*", "--all", "--domain", str(vm)).code == 0
    assert vm.read_bytes().count(b"<hostdev") >= 2


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE domain [<!ENTITY a 'b'>]>" + MINIMAL.encode(), 2),
        (MINIMAL.encode("utf-16"), 2),
        (b"<network/>", 2),
        (b"", 2),
        (MINIMAL.encode()[:-20], 2),
        (MINIMAL.replace("</devices>", "<disk><alias name='ua-x'/></disk></devices>").encode(), 2),
    ],
)
def test_a_file_that_is_refused_stays_as_it_is(ask: Ask, vm: Path, content: bytes, code: int) -> None:
    """Nothing is lost, nothing is left beside it."""
    vm.write_bytes(content)
    before = vm.stat()

    for arguments in (("01:00.0", "--alias", "ua-x", "--domain", str(vm)), ("--check", str(vm))):
        ended = sample(ask, *arguments)
        assert ended.code == code or "--check" in arguments
        assert "Traceback" not in ended.err

    now = vm.stat()
    assert vm.read_bytes() == content
    assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [one.name for one in vm.parent.iterdir() if one.is_file()] == ["vm.xml"]


def test_everything_of_a_domain_is_kept(ask: Ask, vm: Path) -> None:
    """Comments, tabs, namespaces and QEMU's own options: one piece is new, the rest is what it was."""
    vm.write_bytes(FULL.encode())
    vm.chmod(0o600)

    assert sample(ask, "01:00.0", "--domain", str(vm)).code == 0

    content = vm.read_bytes()
    start = content.index(f"\n\t\t<!-- {GPU}".encode())
    end = content.index(b"</hostdev>", start) + len(b"</hostdev>")
    assert content[:start] + content[end:] == FULL.encode()
    assert vm.stat().st_mode & 0o777 == 0o600


def test_a_domain_is_checked_against_the_host(ask: Ask, vm: Path) -> None:
    """Would it start: 4 for what it lacks, 10 for what is missing, 0 when nothing speaks against it."""
    assert (
        sample(ask, "--check", str(vm)).out
        == f"{vm} (web1): no host devices\n  ok       nothing speaks against it\n"
    )
    sample(ask, "01:00.0", "--domain", str(vm))
    ended = sample(ask, "--check", str(vm))
    assert ended.code == 4
    assert "locks    5.0 GiB" in ended.out
    assert f"refuse   X2: {GPU}: its group 1 is not viable" in ended.out
    sample(ask, "01:00.0", "--group", "--domain", str(vm))
    assert sample(ask, "--check", str(vm)).code == 0
    assert ask(SUBCOMMAND, "--check", str(vm), host="bare-6.12").code == 10


def test_domains_are_checked_together(ask: Ask, vm: Path) -> None:
    """One group, two domains; as a document."""
    other = vm.with_name("other.xml")
    shutil.copy(vm, other)
    sample(ask, "01:00.0", "--domain", str(vm))
    sample(ask, "01:00.1", "--domain", str(other))

    ended = sample(ask, "--check", str(vm), "--check", str(other), "--json")

    document = ended.document
    assert (ended.code, document["kind"], document["exit_code"]) == (4, "libvirt-check", 4)
    assert [one["devices"] for one in document["domains"]] == [[GPU], [AUDIO]]
    assert document["domains"][0]["memlock"] == 5 << 30
    assert ["shared by" in one["message"] for one in document["findings"]] == [True]


def usb_host(folder: Path, *devices: object) -> str:
    """Return a machine with a USB controller and what is plugged into it."""
    tree = HostTree(folder / "host")
    plug(tree, STICK, HUB, *devices)  # type: ignore[arg-type]
    assert tree._base is not None
    return tree._base


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (("usb:046d:c52b",), [("vendor", {"id": "0x046d"}), ("product", {"id": "0xc52b"})]),
        (("usb:1-2.5",), [("vendor", {"id": "0x046d"}), ("product", {"id": "0xc52b"})]),
        (("usb:1-2.5", "--libvirt-version", "12.0"), [("address", {"bus": "1", "port": "2.5"})]),
        (("usb:046d:c52b", "--usb-by", "address"),
         [("vendor", {"id": "0x046d"}), ("product", {"id": "0xc52b"}),
          ("address", {"bus": "1", "device": "7"})]),
    ],
)  # fmt: skip
def test_a_usb_device_is_named_by_what_lasts(
    runner: Program, tmp_path: Path, arguments: tuple[str, ...], source: list[tuple[str, dict[str, str]]]
) -> None:
    """X10: by its id, by its port where libvirt can, by its number only if asked for."""
    ended = runner("--root", usb_host(tmp_path), SUBCOMMAND, *arguments)

    assert ended.code == 0, ended.err
    (hostdev,) = elements(ended.out)
    assert [(node.tag, dict(node.attrib)) for node in hostdev.iterfind("source/*")] == source
    assert ("changes at each plug" in ended.err) == ("address" in arguments)


def test_usb_devices_of_one_id_are_told_apart(runner: Program, tmp_path: Path) -> None:
    """X10: libvirt would refuse the id; before 12 the number says which one, and that is told."""
    twin = STICK._replace(port="3", device=8)
    root = usb_host(tmp_path, twin)

    ended = runner("--root", root, SUBCOMMAND, "usb:046d:c52b")
    assert (ended.code, ended.out) == (2, "")
    assert "usb:1-2.5 usb:1-3" in ended.err
    ended = runner("--root", root, SUBCOMMAND, "usb:1-3")
    assert "device='8'" in ended.out
    assert "changes at each plug" in ended.err
    assert runner("--root", root, SUBCOMMAND, "usb:1-3", "--usb-by", "id").code == 2
    assert runner("--root", root, SUBCOMMAND, "usb:1-2").code == 5
    assert runner("--root", root, SUBCOMMAND, "usb:9-9").code == 3


def test_a_mediated_device_says_what_it_is(ask: Ask) -> None:
    """Its model is the API of its type."""
    host = json.loads(ask("show", "--json", "00:02.0", host="mdev").out)
    uuid = next(one["detail"].split()[-1] for one in host["device"]["usage"] if one["kind"] == "mdev")
    ended = ask(SUBCOMMAND, f"mdev:{uuid}", "--display", "on", "--ramfb", "on", host="mdev")

    assert ended.code == 0, ended.err
    (hostdev,) = elements(ended.out)
    assert (hostdev.get("model"), hostdev.get("display"), hostdev.get("ramfb")) == ("vfio-pci", "on", "on")
    assert ask(SUBCOMMAND, f"mdev:{uuid}", "--boot", "1", host="mdev").code == 2


def test_the_installed_release_is_the_default(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """And --libvirt-version outranks it."""
    monkeypatch.setattr(judging, "installed_version", lambda: Version(12, 3))

    assert sample(ask, "01:00.0", "--iommufd").code == 0
    assert sample(ask, "01:00.0", "--iommufd", "--libvirt-version", "11.0").code == 5


def test_names_that_nobody_should_have_never_break_anything(runner: Program, tmp_path: Path) -> None:
    """A VM's name or a path with everything that XML, a shell or a terminal would take for its own."""
    tree = HostTree(tmp_path / "host")
    tree.device(GPU, group=1, driver="vfio-pci")
    vm = tmp_path / "vm.xml"
    vm.write_text(MINIMAL.replace("web1", "--&gt;\x9b31m&lt;x"))
    assert tree._base is not None

    ended = runner("--root", tree._base, SUBCOMMAND, GPU, "--rom", "/<&>'\"--.rom")
    assert elements(ended.out)[0].find("rom").get("file") == "/<&>'\"--.rom"  # type: ignore[union-attr]
    checked = runner("--root", tree._base, SUBCOMMAND, "--check", vm)
    assert "\x9b" not in checked.out


def test_help_loads_no_xml_library() -> None:
    """It is paid for by those who get XML."""
    assert COMMANDS[SUBCOMMAND][0] == "vfioctl.cli.libvirt_xml"
    script = "import sys, vfioctl.cli.libvirt_xml; print(*({'lxml', 'vfioctl.libvirt'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout.split() == []


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [
        (["--libvirt-version"], "12", ["12.0", "12.1", "12.2"]),
        (["--guest-slot"], "0a", ["0a:00"]),
        (["--alias"], "", ["ua-"]),
        (["--rom"], "n", ["n", "none"]),
        (["--driver-model"], "", ["vfio-pci"]),
        (["--managed"], "", ["yes", "no"]),
        (["--usb-by"], "p", ["port"]),
        (["--virsh"], "", []),
    ],
)
def test_values_complete(
    words: list[str], begun: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a TAB offers after an option."""
    monkeypatch.setenv("VFIOCTL_ROOT", "sample")
    shell = BashComplete(root, {}, "vfioctl", "_VFIOCTL_COMPLETE")

    items = shell.get_completions([SUBCOMMAND, *words], begun)

    assert [item.value for item in items] == offered


def test_every_kind_has_a_name_in_libvirt(ask: Ask, runner: Program, tmp_path: Path) -> None:
    """USB devices by their port, mediated devices with their parent."""
    host = json.loads(ask("show", "--json", "00:02.0", host="mdev").out)
    uuid = next(one["detail"].split()[-1] for one in host["device"]["usage"] if one["kind"] == "mdev")

    assert ask(SUBCOMMAND, f"mdev:{uuid}", "--nodedev", host="mdev").out == (
        f"mdev_{uuid.replace('-', '_')}_0000_00_02_0\n"
    )
    ended = runner("--root", usb_host(tmp_path), SUBCOMMAND, "usb:1-2.5", "--nodedev")
    assert ended.out == "usb_1_2_5\n"


@pytest.mark.no_cover
@pytest.mark.parametrize("host", HOST_NAMES)
def test_every_device_of_every_host_is_printed_or_refused(host: str, ask: Ask) -> None:
    """Valid by the rules, or nothing on stdout and a reason: no host is too odd."""
    listed = json.loads(ask("scan", "--json", host=host).out)["devices"]

    for device in listed:
        ended = ask(SUBCOMMAND, device["address"], "--group", host=host)
        if ended.code:
            assert (ended.code, ended.out) == (5, ""), device["address"]
            assert device["header"] != "endpoint" or device["reasons"], device["address"]
            continue
        first = read(elements(ended.out)[0])
        assert first is not None
        assert identity(first) == ("pci", PciAddress.parse(device["address"]))
    together = [device["address"] for device in listed if device["assignable"]]
    if together:
        assert len(elements(ask(SUBCOMMAND, *together, host=host).out)) == len(together)
