"""The words of a kernel command line that decide about passthrough; all others are nobody's business."""

from __future__ import annotations

from vfioctl.model.pattern import pattern

_OWN = pattern(
    r"(?:intel_iommu|amd_iommu|iommu|iommu\.[a-z_]+|arm-smmu[a-z0-9-]*\.[a-z_]+|intremap|nointremap"
    r"|pcie_acs_override|pci|vfio[-_a-z0-9]*\.[a-z0-9_]+|rd\.driver\.(?:pre|post|blacklist)"
    r"|modules[-_]load|module_blacklist|initcall_blacklist|video|kvm[a-z_]*\.[a-z_]+"
    r"|pcie_port_pm|pcie_aspm|default_hugepagesz|hugepagesz|hugepages)(?:=.*)?"
)
_CHIP = pattern(r"\s([A-Z][A-Za-z0-9]*(?:-[A-Za-z]+)*)")
_LOOSE_ID = pattern(r",?[0-9a-fA-F]{4}:[0-9a-fA-F]{4}(?:[:,][0-9a-fA-F:,]*)?")


def kernel_words(text: str) -> tuple[str, ...]:
    """Return the words that matter, in their order, with ids that a blank has cut off from their list."""
    return tuple(
        word for word in text.replace('"', " ").split() if _OWN.fullmatch(word) or _LOOSE_ID.fullmatch(word)
    )


def is_loose_id(word: str) -> bool:
    """Tell whether a word is an id on its own, which the kernel takes for nothing."""
    return _LOOSE_ID.fullmatch(word) is not None


def interrupt_chip(line: str) -> str | None:
    """Return the name of the chip in a line of /proc/interrupts, such as ``IR-PCI-MSI``, or None."""
    number, colon, rest = line.partition(":")
    found = _CHIP.search(rest) if colon and number.strip().isdecimal() else None
    return found[1] if found else None
