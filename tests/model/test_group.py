from __future__ import annotations

import pytest

from tests.model.factory import make_device, make_group
from vfioctl.model.group import ReservedRegion


@pytest.mark.parametrize(
    ("kinds", "demanded"),
    [
        ((), False),
        (("msi",), False),
        (("reserved", "msi"), False),
        (("direct-relaxable", "msi"), False),
        (("direct",), True),
        (("msi", "direct"), True),
    ],
)
def test_only_a_direct_region_demands_an_identity_mapping(kinds: tuple[str, ...], *, demanded: bool) -> None:
    """A relaxable mapping may be given up by the kernel, a plain direct one may not (K24)."""
    regions = tuple(ReservedRegion(0x1000 * n, 0x1000 * n + 0xFFF, kind) for n, kind in enumerate(kinds))
    group = make_group(1, [make_device()], reserved_regions=regions)
    assert group.needs_identity_mapping is demanded
