from __future__ import annotations

import pytest

from tests.model.factory import make_device, make_port
from tests.plugin.factory import AUDIO, GPU, NIC, card, config, given, machine, seeing
from tests.plugin.test_resources import OTHER, UUID, plugged, vgpus
from vfioctl.plugin.explain import Answer, Verdict, explain

HOST = machine(
    make_port("0000:00:01.0", iommu_group=1),
    *card(1, 1, numa_node=0),
    make_device(NIC, driver="igb", iommu_group=2),
)
SEEN = seeing((plugged("2.5"),))


def answer(subject: str, table: str, *others: str) -> Answer:
    """Return what the first resource makes of something."""
    return explain(HOST, config(table, *others), subject, sight=SEEN)[0]


@pytest.mark.parametrize(
    ("subject", "table", "verdict", "why"),
    [
        (GPU, 'select = ["class:gpu"]', Verdict.OFFERED, ()),
        (GPU, 'select = ["class:gpu"]\nunit = "slot"', Verdict.OFFERED, (f"together with {AUDIO}",)),
        (AUDIO, 'select = ["class:gpu"]\nunit = "slot"', Verdict.OFFERED, (f"together with {GPU}",)),
        (AUDIO, 'select = ["class:gpu"]', Verdict.NOT_SELECTED, ('select "class:gpu" does not match it',)),
        (
            GPU,
            'select = ["10de:2204,numa:1", "class:gpu,driver:nvidia,numa:0"]',
            Verdict.NOT_SELECTED,
            (
                'select "10de:2204,numa:1" does not match it because of: numa:1',
                'select "class:gpu,driver:nvidia,numa:0" does not match it because of: driver:nvidia',
            ),
        ),
        (
            GPU,
            'select = ["10de:*"]\nexclude = ["class:audio", "01:00.0"]',
            Verdict.EXCLUDED,
            ('exclude "01:00.0" matches it',),
        ),
        (
            NIC,
            'select = ["class:nic"]',
            Verdict.LEFT_OUT,
            (f"on driver igb; to offer it: vfioctl bind {NIC}",),
        ),
        (
            "0000:00:01.0",
            'select = ["group:1"]',
            Verdict.LEFT_OUT,
            ("it stays with the host: it is a bridge, or part of the board",),
        ),
        (GPU, 'kind = "node"\npaths = ["/dev/kvm"]', Verdict.OTHER_KIND, ("it offers device nodes",)),
        (GPU, 'kind = "usb"\nselect = ["usb:1-2"]', Verdict.OTHER_KIND, ("it offers USB devices",)),
        ("1-2.5", 'kind = "usb"\nselect = ["usb:1050:0407"]', Verdict.OFFERED, ()),
        (
            "1-2.5",
            'kind = "usb"\nselect = ["usb:1050:0407,numa:1"]',
            Verdict.NOT_SELECTED,
            ('select "usb:1050:0407,numa:1" does not match it because of: numa:1',),
        ),
    ],
)
def test_what_a_resource_makes_of_a_thing(
    subject: str, table: str, verdict: Verdict, why: tuple[str, ...]
) -> None:
    """The verdict, and the terms that decide it."""
    found = answer(subject, table)

    assert (found.verdict, found.why) == (verdict, why)


def test_a_selector_of_indexes_is_told_apart_from_its_other_terms() -> None:
    """The comma inside `#0-3,5` separates no terms."""
    assert answer(GPU, 'select = ["vfs-of:02:00.0#0-3,5,class:gpu"]').why == (
        'select "vfs-of:02:00.0#0-3,5,class:gpu" does not match it because of: vfs-of:02:00.0#0-3,5',
    )


def test_an_unhealthy_item_says_why() -> None:
    """The word, and what it means."""
    host = machine(*card(1, 1), make_device("0000:01:00.2", driver="xhci_hcd", iommu_group=1))

    (found,) = explain(host, config('select = ["class:gpu"]'), GPU, sight=SEEN)

    assert found.verdict is Verdict.UNHEALTHY
    assert found.why == (
        "group-not-viable: its IOMMU group is not viable: 0000:01:00.2: xhci_hcd uses it for the host",
    )


def test_a_part_of_a_unit_that_is_left_out_says_for_whose_sake() -> None:
    """The audio function is fine; the GPU is not."""
    gpu, audio = card(1, 1)
    host = machine(gpu._replace(driver="nvidia"), audio)

    (found,) = explain(host, config('select = ["01:00"]\nunit = "slot"'), AUDIO, sight=SEEN)

    assert found.verdict is Verdict.LEFT_OUT
    because = f"{GPU} of it: on driver nvidia; to offer it: vfioctl bind {GPU}"
    assert found.why == (f"it goes with {GPU}, which is left out: {because}",)


def test_who_else_has_it() -> None:
    """By priority, or by nobody's for want of one."""
    select = 'select = ["class:gpu"]'

    assert answer(GPU, select, f"{select}\npriority = 2").why == (
        "it belongs to vfioctl.io/r1, which has priority 2",
    )
    assert answer(GPU, select, select).why == ("it is selected by vfioctl.io/r1 with the same priority",)


def test_mediated_devices() -> None:
    """By UUID: offered, of another type, or without its parent's terms."""
    tables = config(
        'kind = "mdev"\nselect = ["class:gpu"]\ntypes = ["nvidia-63"]',
        f'kind = "mdev"\nselect = ["mdev:{UUID},numa:0"]',
    )

    found = explain(vgpus(), tables, UUID, sight=SEEN)
    other = explain(vgpus(), tables, OTHER, sight=SEEN)

    assert [one.verdict for one in found] == [Verdict.OFFERED, Verdict.NOT_SELECTED]
    assert found[1].why == (f'select "mdev:{UUID},numa:0" does not match it because of: numa:0',)
    assert (other[0].verdict, other[0].why) == (Verdict.LEFT_OUT, ("its type is none of nvidia-63",))


def test_every_resource_answers() -> None:
    """In the order of the configuration."""
    found = explain(HOST, config('select = ["class:gpu"]', 'select = ["class:nic"]'), GPU, sight=SEEN)

    assert [(one.resource, one.item) for one in found] == [("vfioctl.io/r0", GPU), ("vfioctl.io/r1", None)]
    assert given(GPU).on_vfio
