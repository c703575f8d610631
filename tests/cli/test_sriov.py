"""Virtual functions on the command line: listed, made, bound, removed, refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.pretended import Pretended
from tests.support.fake_kernel import Device
from vfioctl.model.address import PciAddress
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.usage import Usage, UsageKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

SPLIT, WHOLE, VF = "0000:05:00.0", "0000:05:00.1", "0000:05:02.1"


class Splitting(Pretended):
    """A host whose other port gets virtual functions as its kernel makes them."""

    def host(self, *root: object, **how: object) -> Host:
        """Read the host, with the virtual functions that the kernel has made."""
        host = super().host(*root, **how)
        template = host.by_address[PciAddress.parse("05:02.3")]
        parent = host.by_address[PciAddress.parse(WHOLE)]
        made = self.kernel.devices[WHOLE].virtual_functions
        addresses = [PciAddress(0, 5, 0x0A + number // 8, number % 8) for number in range(made)]
        new = []
        for number, address in enumerate(addresses):
            name = str(address)
            fake = self.kernel.devices.setdefault(name, Device(name, 100 + number, ("iavf",)))
            new.append(
                template._replace(
                    address=address,
                    sriov=VirtualFunction(parent.address, number),
                    driver=fake.driver,
                    driver_override=fake.override,
                    iommu_group=100 + number,
                )
            )
        groups = [
            host.groups[0]._replace(id=100 + number, members=(address,), other_members=())
            for number, address in enumerate(addresses)
        ]
        split = parent._replace(sriov=PhysicalFunction(64, tuple(addresses)))
        devices = [split if one.address == parent.address else one for one in host.devices]
        return host._replace(
            devices=tuple(sorted((*devices, *new), key=lambda one: one.address)),
            groups=(*host.groups, *groups),
        )


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host_root: Callable[[str], HostRoot],
    sample_host: Callable[[str], Host],
) -> Splitting:
    """Return the sample host as the one that the program runs on."""
    pretended = Splitting(sample_host("sample"), host_root("sample"), tmp_path / "run")
    pretended.install(monkeypatch)
    return pretended


def test_made_bound_and_removed(here: Splitting, ask: Ask) -> None:
    """Two commands, each of which ends by saying what comes next."""
    made = ask("sriov", "set", WHOLE, "3")
    bound = ask("bind", f"vfs-of:{WHOLE}#0-2")
    again = ask("sriov", "set", WHOLE, "3")
    drivers = {here.kernel.devices[f"0000:05:0a.{number}"].driver for number in range(3)}
    removed = ask("sriov", "off", WHOLE)

    assert made.code == 0
    assert made.out.splitlines()[1].split()[:3] == [WHOLE, "3/64", "i40e"]
    assert made.out.endswith(f"\nnext        vfioctl bind vfs-of:{WHOLE}#0-2\n")
    assert (bound.code, drivers) == (0, {"vfio-pci"})
    assert again.code == 0
    assert "nothing to do: it was so already" in again.out
    assert removed.code == 0
    assert "bindings are lost with them: 3 of 3" in removed.err
    assert here.kernel.devices[WHOLE].virtual_functions == 0


@pytest.mark.parametrize("form", ["plain", "json"])
def test_bound_in_the_same_call(here: Splitting, ask: Ask, form: str) -> None:
    """One report for both: with the steps that made them before those that bound them."""
    ended = ask("sriov", "set", "--bind", "-o", form, WHOLE, "2")

    assert ended.code == 0
    assert [here.kernel.devices[f"0000:05:0a.{number}"].driver for number in range(2)] == ["vfio-pci"] * 2
    if form == "json":
        steps = [step["step"] for step in json.loads(ended.out)["steps"]]
        assert steps.index("sriov_numvfs") < steps.index("bind")
    else:
        assert "bound: 2 devices\n" in ended.out


def test_a_failure_is_told_in_words(here: Splitting, ask: Ask) -> None:
    """What happened, why, what to type; and the document says the same."""
    here.kernel.devices[WHOLE].most_vfs = 2

    ended, document = ask("sriov", "set", WHOLE, "4"), ask("sriov", "set", "--json", WHOLE, "4")

    assert (ended.code, document.code, ended.out) == (7, 7, "")
    assert "sriov set failed and was rolled back; everything is as it was before" in ended.err
    assert "its driver has made 2 and called that a success" in ended.err
    assert f"hint: ask for those: vfioctl sriov set {WHOLE} 2\n" in ended.err
    assert document.document["result"] == "rolled-back"
    assert here.kernel.devices[WHOLE].virtual_functions == 0


@pytest.mark.parametrize("words", [["set", SPLIT, "8"], ["off", SPLIT], ["off", "--force", "net", SPLIT]])
def test_what_somebody_has_open_is_not_removed(here: Splitting, ask: Ask, words: list[str]) -> None:
    """The pid is named, and nothing is written (K56)."""
    here.joined[VF] = (Usage(UsageKind.PROCESS, "pid 4711", "dpdk (pid 4711) has /dev/vfio/17 open"),)

    ended = ask("sriov", *words)

    assert (ended.code, ended.out, here.kernel.writes) == (4, "", [])
    assert "dpdk (pid 4711) has /dev/vfio/17 open [vm]" in ended.err
    assert "hint: end the program: kill 4711" in ended.err


def test_other_hosts_are_only_looked_at(ask: Ask) -> None:
    """A dry run everywhere, a change here only; one that names several wants --all."""
    assert ask("sriov", "off", SPLIT, host="sample").code == 2
    assert ask("sriov", "off", "-n", "class:nic", host="sample").code == 2
    assert ask("sriov", "set", "-n", "77:00.0", "4", host="sample").code == 3
    assert ask("sriov", "set", "-n", SPLIT, "0", host="sample").code == 2


SCREENS = {
    "list": (0, ["list"]),
    "list-none": (0, ["list", "class:gpu"]),
    "set": (0, ["set", "-n", WHOLE, "4"]),
    "set-other-number": (0, ["set", "-n", SPLIT, "8"]),
    "set-too-many": (5, ["set", "-n", WHOLE, "65"]),
    "set-not-capable": (5, ["set", "-n", "01:00.0", "1"]),
    "off": (0, ["off", "-n", SPLIT]),
    "off-already": (0, ["off", "-n", WHOLE]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen(name: str, ask: Ask, golden: GoldenFiles) -> None:
    """The screen of 100 columns, and the document."""
    code, words = SCREENS[name]

    screen = ask("sriov", *words, "-o", "table", "--no-color", host="sample")
    document = ask("sriov", *words, "--json", host="sample")

    assert (screen.code, document.code) == (code, code)
    golden.check(f"sriov/{name}.txt", screen.out)
    golden.check(f"sriov/{name}.json", document.out)


@pytest.mark.parametrize("words", [["sriov"], ["sriov", "list"], ["sriov", "set"], ["sriov", "off"]])
def test_help(words: list[str], ask: Ask, golden: GoldenFiles) -> None:
    """What -h says on 100 columns."""
    golden.check(f"help/{'-'.join(words)}.txt", ask(*words, "-h").out)
