"""Virtual functions made and removed by vfioctl, on an igb and on an NVMe controller."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.lab.guest import bindings, cli, effects, holder, kernel, vfio
from tests.lab.guest.bindings import Bound

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.topologies("server"), pytest.mark.deadline(180)]


class Card(NamedTuple):
    """A device that can be split: where it is, what drives it, how many functions it can have."""

    address: str
    driver: str
    total: int


IGB = Card("0000:41:00.0", "igb", 7)
NVME = Card("0000:81:00.0", "nvme", 4)
WHOLE = "0000:04:00.0"
"""A NIC without the capability."""
FREE = Bound("", bindings.NO_OVERRIDE)
GIVEN = Bound("vfio-pci", "vfio-pci")


@pytest.fixture(params=[IGB, NVME], ids=lambda card: card.driver)
def card(request: pytest.FixtureRequest) -> Iterator[Card]:
    """One of the two, without virtual functions; what a scenario that failed has left is removed by hand."""
    yield request.param
    unsplit(request.param)


@pytest.fixture
def nvme() -> Iterator[Card]:
    """The controller, which nothing in the guest needs."""
    yield NVME
    unsplit(NVME)


def unsplit(card: Card) -> None:
    """Remove what functions are left, and let drivers probe new ones again."""
    folder = kernel.DEVICES / card.address
    if functions(card):
        kernel.write(folder / "sriov_numvfs", "0")
    kernel.write(folder / "sriov_drivers_autoprobe", "1")


def attribute(card: Card, name: str) -> str:
    """Give what the kernel says of a card."""
    return (kernel.DEVICES / card.address / name).read_text(encoding="ascii").strip()


def functions(card: Card) -> list[str]:
    """Give the addresses of a card's virtual functions, in the kernel's order."""
    links = (kernel.DEVICES / card.address).glob("virtfn*")
    return [link.resolve().name for link in sorted(links, key=lambda link: int(link.name[6:]))]


def made(*arguments: str) -> dict[str, Any]:
    """Run a command of `sriov` that must succeed, and give its document."""
    answer = cli.vfioctl("sriov", *arguments, "--json")
    assert answer.exit_code == 0, (arguments, answer.exit_code, answer.stdout, answer.stderr)
    assert not bindings.JOURNAL.exists()
    return answer.document


def refused(card: Card, *arguments: str, exit_code: int, says: str) -> str:
    """Run a command of `sriov` that must be refused with nothing written; give what it said."""
    before = functions(card), attribute(card, "sriov_drivers_autoprobe")
    answer = bindings.refused("sriov", *arguments, exit_code=exit_code)
    assert says in answer.stderr, answer.stderr
    assert (functions(card), attribute(card, "sriov_drivers_autoprobe")) == before
    return answer.stderr


def interfaces() -> set[str]:
    """Give the host's network interfaces and disks."""
    return {path.name for kind in ("net", "block") for path in Path("/sys/class", kind).iterdir()}


def test_four_are_made_that_no_driver_of_the_host_takes(card) -> None:
    """Read back, probing as it was before, no interface and no disk more (K38, K41); again, and off."""
    before = interfaces()
    planned = cli.document("sriov", "set", "-n", card.address, "4")
    document = made("set", card.address, "4")
    assert [step["path"] for step in document["steps"]] == [step["path"] for step in planned["steps"]]
    assert document["result"] == "done"
    assert attribute(card, "sriov_numvfs") == "4"
    assert attribute(card, "sriov_drivers_autoprobe") == "1"
    kernel.settle()
    assert [bindings.bound(function) for function in functions(card)] == [FREE] * 4
    assert interfaces() == before
    (listed,) = cli.document("sriov", "list", card.address)["devices"]
    assert (listed["total_vfs"], listed["num_vfs"]) == (card.total, 4)
    assert [one["address"] for one in listed["virtual_functions"]] == functions(card)
    assert made("set", card.address, "4")["result"] == "already"
    assert made("off", card.address)["result"] == "done"
    assert functions(card) == []
    assert made("off", card.address)["result"] == "already"


def test_their_number_changes_by_way_of_none(card) -> None:
    """The kernel itself would say EBUSY (K37)."""
    made("set", card.address, "1")
    document = made("set", card.address, "3")
    written = [step["value"] for step in document["steps"] if step["path"].endswith("sriov_numvfs")]
    assert written == ["0", "3"]
    assert len(functions(card)) == 3
    with pytest.raises(OSError, match="busy"):
        kernel.write(kernel.DEVICES / card.address / "sriov_numvfs", "2")
    made("off", card.address)


def test_bind_gives_them_to_vfio_pci_and_a_held_one_is_never_removed(card) -> None:
    """The holder is named before anything is written (K56); once it has gone, off ends clean."""
    made("set", "--bind", card.address, "4")
    found = functions(card)
    assert [bindings.bound(function) for function in found] == [GIVEN] * 4
    assert all(vfio.is_viable(kernel.group_of(function)) for function in found)
    with holder.holding(found[2]) as held:
        for words in (("off", card.address), ("set", card.address, "2")):
            said = refused(card, *words, exit_code=4, says="[vm]")
            assert str(held.pid) in said
            assert "python3" in said
        assert cli.vfioctl("sriov", "off", card.address, "--force", "vm").exit_code == 2
        assert [bindings.bound(function) for function in found] == [GIVEN] * 4
        assert held.poll() is None
    made("off", card.address)
    assert functions(card) == []
    kernel.settle()
    assert not [path for path in Path("/dev/vfio").iterdir() if path.name != "vfio"]


def test_more_than_there_can_be_are_refused(card) -> None:
    """In the words of the card, not the kernel's ERANGE."""
    said = refused(card, "set", card.address, str(card.total + 1), exit_code=5, says="at most")
    assert f"{card.total} virtual functions" in said
    with pytest.raises(OSError, match="out of range"):
        kernel.write(kernel.DEVICES / card.address / "sriov_numvfs", str(card.total + 1))


def test_what_has_no_capability_is_refused(nvme) -> None:
    """A plain card, and a virtual function, which is pointed to its parent."""
    refused(nvme, "set", WHOLE, "1", exit_code=5, says="no SR-IOV capability")
    made("set", nvme.address, "1")
    refused(nvme, "set", functions(nvme)[0], "1", exit_code=5, says=nvme.address)
    made("off", nvme.address)


@pytest.mark.once
def test_where_nothing_would_make_them_at_boot_they_cannot_be_stored(nvme) -> None:
    """This machine has no systemd."""
    answer = cli.vfioctl("sriov", "set", "--persist", nvme.address, "2")
    assert answer.exit_code == 5, (answer.stdout, answer.stderr)
    assert "takes systemd" in answer.stderr
    assert functions(nvme) == []


def test_without_a_driver_nothing_can_be_made(nvme) -> None:
    """The kernel's own ENOENT would speak of a missing file (K37, H46)."""
    kernel.unbind(nvme.address)
    try:
        refused(nvme, "set", nvme.address, "2", exit_code=5, says="it has no driver")
        with pytest.raises(FileNotFoundError):
            kernel.write(kernel.DEVICES / nvme.address / "sriov_numvfs", "2")
    finally:
        kernel.write(kernel.DRIVERS / nvme.driver / "bind", nvme.address)
        kernel.settle()


def test_a_driver_that_cannot_split_is_named_and_probing_is_as_before(nvme) -> None:
    """Whether a driver can is known only once it is asked: rolled back, and no file is missing (H46)."""
    kernel.modprobe("pci-stub")
    kernel.unbind(nvme.address)
    kernel.bind(nvme.address, "pci-stub")
    try:
        answer = cli.vfioctl("sriov", "set", nvme.address, "2")
        assert answer.exit_code == 7, (answer.stdout, answer.stderr)
        assert "its driver pci-stub cannot make virtual functions" in answer.stderr, answer.stderr
        assert "hint:" in answer.stderr
        assert attribute(nvme, "sriov_drivers_autoprobe") == "1"
        assert functions(nvme) == []
    finally:
        kernel.give_back({nvme.address: nvme.driver})


def test_a_parent_on_vfio_pci_makes_them_only_where_it_may(nvme) -> None:
    """Refused as it is loaded; with enable_sriov they come, on vfio-pci at once, and take a token (K39)."""
    switch = Path("/sys/module/vfio_pci/parameters/enable_sriov")
    with kernel.given_to_vfio([nvme.address]):
        assert switch.read_text().strip() == "N"
        refused(nvme, "set", nvme.address, "2", exit_code=5, says="enable_sriov=1")
        kernel.write(switch, "Y")
        try:
            document = made("set", nvme.address, "2")
            assert any("VF token" in finding["message"] for finding in document["findings"])
            found = functions(nvme)
            assert len(found) == 2
            assert [bindings.bound(function).override for function in found] == ["vfio-pci"] * 2
            made("off", nvme.address)
        finally:
            kernel.write(switch, "N")


def test_a_parent_that_its_driver_has_left_is_not_touched(nvme) -> None:
    """NVMe leaves its functions behind; nobody can remove them until it is back (K40)."""
    made("set", nvme.address, "2")
    kernel.unbind(nvme.address)
    try:
        said = refused(nvme, "off", nvme.address, exit_code=5, says="it has no driver")
        assert "drivers_probe" in said
    finally:
        kernel.write(Path("/sys/bus/pci/drivers_probe"), nvme.address)
        kernel.wait_until(lambda: kernel.driver_of(nvme.address) == nvme.driver, "nvme")
        kernel.settle()
    made("off", nvme.address)
    assert functions(nvme) == []


@pytest.mark.deadline(400)
def test_a_run_that_is_killed_anywhere_is_undone_or_finished_by_recover(nvme) -> None:
    """Before each effect of `set`: afterwards probing is as it was, and there are two functions or none."""
    effects.prepare()
    whole = effects.run("sriov", "set", nvme.address, "2")
    assert whole.exit_code == 0, whole
    made("off", nvme.address)
    outcomes = []
    for target in whole.effects:

        def die(effect: effects.Effect, number: int = target.number) -> None:
            if effect.number == number:
                effects.kill(*effects.all_of(effect))

        assert effects.run("sriov", "set", nvme.address, "2", before=die).exit_code == -9, target
        effects.reap()
        recovered = effects.run("recover")
        effects.reap()
        assert recovered.exit_code == 0, (target, recovered)
        assert attribute(nvme, "sriov_drivers_autoprobe") == "1", target
        assert not bindings.JOURNAL.exists()
        outcomes.append(len(functions(nvme)))
        made("off", nvme.address)
    assert set(outcomes) <= {0, 2}, outcomes
    assert len(outcomes) >= 8


def test_a_holder_that_comes_in_between_does_not_hold_the_tool_up(nvme, tmp_path) -> None:
    """The removal is stuck, and with it every other one (K56): exit 8 with the pid; it ends with the holder."""
    made("set", "--bind", nvme.address, "2")
    held_function = functions(nvme)[1]
    command = ["python3", "-m", "tests.lab.guest.effects", "write .*/sriov_numvfs", str(tmp_path)]
    command += ["sriov", "off", nvme.address, "--timeout", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        kernel.wait_until((tmp_path / "reached").exists, "the removal to be reached", 60)
        with holder.holding(held_function) as held:
            (tmp_path / "go").touch()
            stdout, stderr = tool.communicate(timeout=60)
            assert tool.returncode == 8, (stdout, stderr)
            assert str(held.pid) in stdout + stderr
            again = cli.vfioctl("sriov", "off", nvme.address)
            assert again.exit_code == 4, (again.stdout, again.stderr)
            assert cli.vfioctl("scan").exit_code == 0
    kernel.wait_until(lambda: functions(nvme) == [], "the removal to end", 60)
    recovered = cli.vfioctl("recover")
    assert recovered.exit_code == 0, (recovered.stdout, recovered.stderr)
    assert not bindings.JOURNAL.exists()
