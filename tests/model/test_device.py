from __future__ import annotations

import pytest

from tests.model.factory import make_device
from vfioctl.model.device import Bar, Header


@pytest.mark.parametrize(
    ("bar", "size", "space"),
    [
        (Bar(0, 0xE0000000, 0xEFFFFFFF, 0x40200), 1 << 28, "memory"),
        (Bar(1, 0x6000000000, 0x6000003FFF, 0x14220C), 0x4000, "memory"),
        (Bar(5, 0xE000, 0xE07F, 0x40101), 0x80, "io"),
        (Bar(6, 0xC0000, 0xC0000, 0x200), 1, "memory"),
    ],
)
def test_a_bar_ends_at_its_last_byte(bar: Bar, size: int, space: str) -> None:
    """The kernel prints the last address, inclusive, and says by a flag which space it is in."""
    assert bar.size == size
    assert bar.space == space


@pytest.mark.parametrize(
    ("header", "bridge"), [(Header.ENDPOINT, False), (Header.BRIDGE, True), (Header.CARDBUS, True)]
)
def test_everything_but_an_endpoint_is_a_bridge(header: Header, *, bridge: bool) -> None:
    """vfio-pci refuses every header but that of an endpoint (K13)."""
    assert make_device(header=header).is_bridge is bridge


@pytest.mark.parametrize(
    ("driver", "on_vfio"), [(None, False), ("nvme", False), ("vfio-pci", True), ("mlx5_vfio_pci", True)]
)
def test_a_device_on_a_variant_is_on_vfio(driver: str | None, *, on_vfio: bool) -> None:
    """Variants give the device to a guest as vfio-pci does (K52)."""
    assert make_device(driver=driver).on_vfio is on_vfio


def test_a_device_says_its_class_in_a_word() -> None:
    """The word is what an administrator types in class:."""
    assert make_device(class_code=0x030000).word == "gpu"
