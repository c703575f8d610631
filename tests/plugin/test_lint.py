from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import MODERN, OLD, make_device, make_port
from tests.plugin.factory import card, config, given, machine, seeing
from vfioctl.plugin.config import default_config, parse
from vfioctl.plugin.lint import lint
from vfioctl.plugin.resources import offers

if TYPE_CHECKING:
    from vfioctl.model.kernel import KernelRelease
    from vfioctl.plugin.remark import Remark

HOST = machine(
    *card(1, 1, numa_node=0),
    *card(2, 2),
    given("0000:05:00.0", 5),
    given("0000:06:00.0", 5),
    make_device("0000:07:00.0", driver="igb", iommu_group=7, net_interfaces=("eth0",)),
)


def checks(*tables: str) -> list[tuple[str, str]]:
    """Return the checks that have something to remark, and on which resource."""
    return [(remark.check, remark.resource) for remark in remarks(*tables)]


def remarks(*tables: str) -> tuple[Remark, ...]:
    """Return the remarks on a configuration."""
    return lint(HOST, config(*tables), seeing())


@pytest.mark.parametrize(
    ("table", "check"),
    [
        ('select = ["05:00.0"]', None),
        ('select = ["01:00"]\nunit = "slot"', None),
        ('kind = "node"\npaths = ["/dev/kvm"]', None),
        ('select = ["group:5"]\nunit = "group"', "group-number"),
        ('select = ["05:00.0", "net:eth0"]', "host-driver"),
        ('select = ["05:00.0", "driver:igb"]', "host-driver"),
        ('select = ["driver:vfio-pci,05:00.0"]', None),
        ('select = ["05:00.0", "0000:99:00.0"]', "selects-nothing"),
        ('select = ["class:nvme"]', "nothing-offered"),
        ('select = ["07:00.0"]', "nothing-offered"),
        ('select = ["class:nic"]\nshared_group = "refuse"', "nothing-offered"),
        ('kind = "usb"\nselect = ["usb:1050:0407"]', "nothing-offered"),
        ('kind = "node"\npaths = ["/dev/vfio/5"]', "vfio-node"),
        ('select = ["8086:10e8"]', "group-within"),
        ('select = ["class:gpu"]', "mixed-numa"),
    ],
)
def test_what_is_unwise_in_one_resource(table: str, check: str | None) -> None:
    """Each check by its name, and each silent where there is nothing to say."""
    found = {name for name, _ in checks(table)}

    assert (check in found) if check else not found


def test_a_group_in_two_resources_is_a_race_that_the_scheduler_loses() -> None:
    """GPU and audio apart: the remark names group, resources and items, and proposes the split."""
    (remark,) = remarks('select = ["01:00.0"]', 'select = ["01:00.1"]')

    assert (remark.check, remark.resource) == ("group-across", "vfioctl.io/r0")
    assert (
        "group 1 has 2 items of vfioctl.io/r0 and vfioctl.io/r1 (0000:01:00.0 0000:01:00.1)" in remark.message
    )
    assert 'unit = "group"' in remark.hint


def test_gpus_with_others_would_stand_in_both_lists_of_a_vm() -> None:
    """KubeVirt fills gpus and hostDevices from one variable, each from its beginning."""
    assert ("both-lists", "vfioctl.io/r0") in checks('select = ["01:00.0", "05:00.0"]')
    assert checks('select = ["01:00.0", "05:00.0"]\nenv = ["json"]') == [("mixed-numa", "vfioctl.io/r0")]


def test_kubevirt_needs_the_group_nodes() -> None:
    """It prepares the nodes for QEMU only where /dev/vfio/vfio is there."""
    found = checks('select = ["05:00.0"]\nbackend = "iommufd"')

    assert ("kubevirt-iommufd", "vfioctl.io/r0") in found


def test_without_a_file_groups_are_remarked_on_alike() -> None:
    """What is offered without being asked for can be unwise as well."""
    found = {(one.check, one.resource) for one in lint(HOST, default_config(), seeing())}

    assert ("group-across", "vfioctl.io/10de_1aef") in found
    assert ("group-within", "vfioctl.io/8086_10e8") in found


def test_every_remark_says_what_to_do() -> None:
    """A remark without a way out helps nobody."""
    found = remarks(
        'select = ["group:5", "net:eth0"]', 'select = ["class:gpu", "class:audio"]\nbackend = "iommufd"'
    )

    assert len(found) > 4
    assert all(remark.message and remark.hint for remark in found)


@pytest.mark.parametrize("mode", ["exclusive", "same-pod"])
@pytest.mark.parametrize(
    "tables",
    [
        ('select = ["10de:2204"]', 'select = ["10de:1aef"]'),
        ('select = ["10de:2204", "10de:1aef"]\nexclude = ["0000:05:00.0"]',),
    ],
)
def test_a_race_comes_with_the_split_that_avoids_it(mode: str, tables: tuple[str, ...]) -> None:
    """One remark for all cards alike; what it proposes is a configuration, and has no such race."""
    host = machine(*card(1, 1), *card(2, 2), *card(3, 3))
    crossing = config(*(f'{table}\nshared_group = "{mode}"' for table in tables))
    (remark,) = [one for one in lint(host, crossing, seeing()) if one.check.startswith("group-")]
    assert remark.check == ("group-across" if len(tables) > 1 else "group-within")
    assert "IOMMU groups 1 2 3" in remark.message
    proposed = parse("\n".join(remark.proposal))
    assert not [one for one in lint(host, proposed, seeing()) if one.check.startswith("group-")]
    assert len(offers(host, proposed, sight=seeing())[0].items) == 3


def test_what_is_refused_can_be_no_race() -> None:
    """Nothing of a spread group is offered."""
    host = machine(*card(1, 1))
    refused = config('select = ["10de:2204", "10de:1aef"]\nshared_group = "refuse"')
    assert not [one for one in lint(host, refused, seeing()) if one.check.startswith("group-")]


@pytest.mark.parametrize(
    ("driver", "kernel", "table", "remarked"),
    [
        ("shpchp", MODERN, 'bind = "on-demand"', True),
        ("shpchp", MODERN, 'bind = "at-start"', True),
        ("shpchp", MODERN, 'bind = "on-demand"\nrelease_shpchp = false', True),
        ("shpchp", MODERN, 'bind = "on-demand"\nrelease_shpchp = true', False),
        ("shpchp", MODERN, "", False),
        ("shpchp", OLD, 'bind = "on-demand"', False),
        ("pcieport", MODERN, 'bind = "on-demand"', False),
        (None, MODERN, 'bind = "on-demand"', False),
    ],
)
def test_a_bridge_that_keeps_a_group_from_vfio_is_remarked_on(
    driver: str | None,
    kernel: KernelRelease,
    table: str,
    remarked: bool,
) -> None:
    """Only where a bind could release it, is not told to, and the kernel minds (K18, K19)."""
    host = machine(
        make_port("0000:00:02.0", driver=driver, iommu_group=9),
        make_device("0000:09:01.0", driver="e1000", iommu_group=9),
        kernel=kernel,
    )

    found = lint(host, config(f'select = ["09:01.0"]\n{table}'), seeing())

    bridges = [one for one in found if one.check == "shpchp"]
    assert len(bridges) == remarked
    if remarked:
        assert "0000:00:02.0 of IOMMU group 9" in bridges[0].message
        assert "release_shpchp = true" in bridges[0].hint
