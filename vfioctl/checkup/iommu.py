"""Is an IOMMU at work, and if not, where it is lost: firmware, command line, kernel (H24-H28)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, evidence, in_doubt, listed
from vfioctl.model import paths
from vfioctl.model.kernel_words import interrupt_chip, kernel_words
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.facts import Fact

_OFF = frozenset({"intel_iommu=off", "amd_iommu=off", "iommu=off", "iommu=soft"})
_NO_REMAPPING = frozenset({"intremap=off", "nointremap"})
_SEE = "vfioctl groups"
_SWITCH_ON = "switch it on in the firmware setup: VT-d (Intel), AMD-Vi or IOMMU (AMD), SMMU (Arm)"
_INTEL_ON = "add intel_iommu=on to the kernel command line, update the bootloader and reboot"
_ECAP_REMAPPING = 1 << 3


def groups(patient: Patient) -> Iterator[Check]:
    """Judge whether the kernel made IOMMU groups: without one, nothing can be given away (K14, K22)."""
    host = patient.host
    if host.iommu is None:
        doubt = next((one.reason for one in host.unread if one.path == paths.IOMMU_GROUPS), "unknown")
        seen = (Evidence(paths.IOMMU_GROUPS, doubt),)
        yield Check(
            "iommu-groups", "whether there are IOMMU groups is unknown", None, Status.UNKNOWN, seen, None
        )
        return
    count = len(host.groups)
    seen = (Evidence(paths.IOMMU_GROUPS, "1 group" if count == 1 else f"{count} groups"),)
    if not host.iommu:
        title = "there is no IOMMU group: nothing can be passed through"
        remedy = _remedy(patient)
        yield Check("iommu-groups", title, None, Status.FAIL, seen, remedy, _SEE)
        return
    unsafe = patient.facts.fact(paths.NO_IOMMU)
    if unsafe.text in {"Y", "1"} and not host.iommu_units:
        title = (
            "the groups may be those of the unsafe no-IOMMU mode: a device can overwrite the host's memory"
        )
        remedy = "switch a real IOMMU on, and enable_unsafe_noiommu_mode off"
        yield Check("iommu-groups", title, None, Status.WARN, (*seen, evidence(unsafe)), remedy)
        return
    yield Check("iommu-groups", f"an IOMMU is at work: {seen[0].value}", None, Status.OK, seen, None, _SEE)


def _remedy(patient: Patient) -> str:
    """Say what is most likely missing, by what the firmware announces."""
    tables = paths.TABLES.intersection(patient.facts.fact(paths.FIRMWARE_TABLES).lines)
    words = kernel_words(patient.facts.fact(paths.COMMAND_LINE).text or "")
    if _OFF.intersection(words):
        return f"take {listed(sorted(_OFF.intersection(words)))} off the kernel command line, and reboot"
    if "DMAR" in tables:
        return _INTEL_ON if "intel_iommu=on" not in words else "look at: dmesg | grep -i DMAR"
    if tables:
        return "look at: dmesg | grep -i -e AMD-Vi -e IOMMU -e smmu"
    return f"{_SWITCH_ON}; on Intel also {_INTEL_ON}; in a virtual machine: give it a virtual IOMMU"


def units(patient: Patient) -> Iterator[Check]:
    """Judge whether the kernel drives IOMMU hardware."""
    fact = patient.facts.fact(paths.IOMMU_UNITS)
    names = patient.host.iommu_units
    if names:
        seen = (Evidence(paths.IOMMU_UNITS, listed(names)),)
        yield Check("iommu-units", f"the kernel drives {listed(names)}", None, Status.OK, seen)
    elif fact.text is None or patient.host.iommu is not False:
        yield in_doubt("iommu-units", "which IOMMUs the kernel drives is unknown", (fact,))
    else:
        title = "the kernel drives no IOMMU"
        yield Check("iommu-units", title, None, Status.FAIL, (evidence(fact),), _remedy(patient), _SEE)


def firmware(patient: Patient) -> Iterator[Check]:
    """Judge whether the firmware announces an IOMMU, by its ACPI tables."""
    fact = patient.facts.fact(paths.FIRMWARE_TABLES)
    tables = sorted(paths.TABLES.intersection(fact.lines))
    if tables:
        seen = (Evidence(fact.file, listed(tables)),)
        yield Check(
            "iommu-firmware", f"the firmware announces an IOMMU ({listed(tables)})", None, Status.OK, seen
        )
    elif not fact.text:
        # A container hides the tables of its host: a host without a single one is none.
        yield in_doubt("iommu-firmware", "whether the firmware announces an IOMMU is unknown", (fact,))
    elif patient.host.iommu:
        seen = (Evidence(fact.file, f"none of {listed(sorted(paths.TABLES))}"),)
        title = "groups exist though no ACPI table announces an IOMMU"
        yield Check("iommu-firmware", title, None, Status.UNKNOWN, seen)
    else:
        seen = (Evidence(fact.file, f"none of {listed(sorted(paths.TABLES))}"),)
        title = "the firmware announces no IOMMU: it is switched off there, or there is none"
        yield Check("iommu-firmware", title, None, Status.FAIL, seen, _SWITCH_ON)


def command_line(patient: Patient) -> Iterator[Check]:
    """Judge whether the command line switches the IOMMU on or off (K54)."""
    fact = patient.facts.fact(paths.COMMAND_LINE)
    if fact.text is None:
        yield in_doubt("iommu-cmdline", "what the command line says of the IOMMU is unknown", (fact,))
        return
    words = [word for word in kernel_words(fact.text) if "iommu" in word.partition("=")[0]]
    seen = (Evidence(fact.file, listed(words) or "no word about an IOMMU"),)
    tables = patient.facts.fact(paths.FIRMWARE_TABLES)
    off = sorted(_OFF.intersection(words))
    if off:
        title = f"the command line switches the IOMMU off: {listed(off)}"
        remedy = f"take {listed(off)} off the kernel command line, update the bootloader and reboot"
        yield Check("iommu-cmdline", title, None, Status.FAIL, seen, remedy)
    elif patient.host.iommu:
        yield Check("iommu-cmdline", "the command line leaves the IOMMU on", None, Status.OK, seen)
    elif "DMAR" in tables.lines and not any(word.startswith("intel_iommu=on") for word in words):
        title = "this Intel IOMMU is not switched on: intel_iommu=on is missing from the command line"
        both = (*seen, evidence(tables))
        yield Check("iommu-cmdline", title, None, Status.FAIL, both, _INTEL_ON)
    elif not tables.text and not words:
        title = "whether the command line should say intel_iommu=on is unknown: that depends on the firmware"
        yield in_doubt("iommu-cmdline", title, (tables,))
    else:
        yield Check("iommu-cmdline", "the command line does not switch the IOMMU off", None, Status.OK, seen)


def interrupts(patient: Patient) -> Iterator[Check]:
    """Judge whether interrupts are remapped: without that VFIO refuses, or a guest can forge them (K25)."""
    facts = patient.facts
    unsafe, lines = facts.fact(paths.UNSAFE_INTERRUPTS), facts.fact(paths.INTERRUPTS)
    chips = dict.fromkeys(chip for line in lines.lines if (chip := interrupt_chip(line)))
    seen = (evidence(lines),)
    if patient.host.iommu is False:
        yield in_doubt("intremap", "no IOMMU is at work, so there is nothing to remap interrupts", (lines,))
    elif any(chip.startswith("IR-") for chip in chips):
        yield Check("intremap", "interrupts are remapped", None, Status.OK, seen)
    elif unsafe.text in {"Y", "1"}:
        title = "interrupts are not remapped, and VFIO was told not to mind: a guest can forge interrupts"
        remedy = "switch interrupt remapping on and allow_unsafe_interrupts off, unless you trust every guest"
        yield Check("intremap", title, None, Status.WARN, (*seen, evidence(unsafe)), remedy)
    elif lines.text is None or not _is_x86(patient) or not chips:
        title = "whether interrupts are remapped is unknown"
        yield in_doubt("intremap", title, (lines,), "look at: dmesg | grep -i remap")
    else:
        yield _not_remapped(patient, seen)


def _is_x86(patient: Patient) -> bool:
    return any(name.startswith(("dmar", "ivhd")) for name in patient.host.iommu_units)


def _not_remapped(patient: Patient, seen: tuple[Evidence, ...]) -> Check:
    """Say what interrupts are lost to: the command line, the hardware, the firmware."""
    words = kernel_words(patient.facts.fact(paths.COMMAND_LINE).text or "")
    off = sorted(_NO_REMAPPING.intersection(words))
    capable = [(fact, _remaps(fact)) for fact in _capabilities(patient)]
    seen = (*seen, *(evidence(fact) for fact, _ in capable))
    title = "interrupts are not remapped: starting a VM fails with 'No interrupt remapping'"
    if off:
        seen = (*seen, Evidence(paths.COMMAND_LINE, listed(off)))
        remedy = f"take {listed(off)} off the kernel command line, and reboot"
    elif any(able is False for _, able in capable):
        remedy = (
            "this IOMMU cannot remap interrupts; if you trust every guest:"
            " echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
        )
    else:
        remedy = "switch interrupt remapping (or x2APIC) on in the firmware; look at: dmesg | grep -i remap"
    return Check("intremap", title, None, Status.FAIL, seen, remedy)


def _capabilities(patient: Patient) -> Iterator[Fact]:
    for name in patient.host.iommu_units:
        fact = patient.facts.fact(f"{paths.IOMMU_UNITS}/{name}/intel-iommu/ecap")
        if fact.text is not None:
            yield fact


def _remaps(fact: Fact) -> bool | None:
    """Tell whether an Intel IOMMU can remap interrupts: bit 3 of its extended capabilities."""
    try:
        return bool(int(fact.text or "", 16) & _ECAP_REMAPPING)
    except ValueError:
        return None
