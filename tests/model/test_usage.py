from __future__ import annotations

from vfioctl.model.usage import Usage, UsageKind


def test_a_use_reads_as_its_kind_and_a_sentence() -> None:
    """This is what every listing shows."""
    assert (
        str(Usage(UsageKind.MOUNT, "nvme0n1p2", "nvme0n1p2 is mounted on /"))
        == "mount: nvme0n1p2 is mounted on /"
    )


def test_every_kind_is_spelled_as_its_name_in_lower_case() -> None:
    """Kinds are keys of the scan document, so they are stable words."""
    assert all(kind.value == kind.name.lower() for kind in UsageKind)
