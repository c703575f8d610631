"""Which driver a device is given to, and what must be loaded for it."""

from __future__ import annotations

import pytest

from tests.model.factory import at, make_device, make_host
from tests.plan.hosts import CATALOG, NOWHERE
from vfioctl.model.drivers import DriverCatalog, ModuleAlias
from vfioctl.model.variants import modalias, variants
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.drivers import choose, find
from vfioctl.plan.plan import Request, Severity
from vfioctl.plan.steps import LoadModule

NIC = make_device(vendor_id=0x15B3, device_id=0x101E, driver="mlx5_core")
GRACE = make_device(vendor_id=0x10DE, device_id=0x2342)
BARE = DriverCatalog(frozenset(), (), frozenset(), frozenset())
BLIND = DriverCatalog(frozenset(), (), frozenset(), None)


@pytest.mark.parametrize(
    ("name", "driver", "module"),
    [
        ("vfio-pci", "vfio-pci", None),
        ("vfio_pci", "vfio-pci", None),
        ("ehci_pci", "ehci-pci", None),
        ("ehci-pci", "ehci-pci", None),
        ("nvme", "nvme", None),
        ("mlx5_vfio_pci", "mlx5_vfio_pci", "mlx5_vfio_pci"),
        ("mlx5-vfio-pci", "mlx5_vfio_pci", "mlx5_vfio_pci"),
        ("xe_vfio_pci", "xe-vfio-pci", "xe_vfio_pci"),
        ("xe-vfio-pci", "xe-vfio-pci", "xe_vfio_pci"),
    ],
)
def test_names_of_drivers_and_modules_are_understood(name: str, driver: str, module: str | None) -> None:
    """With dashes and underscores as they come (K6); what must be loaded is spelled as modprobe has it."""
    choice = find(CATALOG, name)

    assert (choice.driver, choice.module, choice.missing) == (driver, module, None)


def test_a_module_that_brings_a_driver_of_another_name_is_followed() -> None:
    """xhci_pci brings xhci_hcd: /sys/module tells."""
    catalog = CATALOG._replace(registered=frozenset({"xhci_hcd"}), loaded=(("xhci_pci", "xhci_hcd"),))

    assert find(catalog, "xhci-pci").driver == "xhci_hcd"
    assert find(CATALOG._replace(loadable=frozenset({"xhci_pci"})), "xhci_hcd").module == "xhci_pci"


def test_a_driver_that_is_not_there_is_said_to_be_missing() -> None:
    """And what is like it is named; where the lists could not be read, it is only in doubt."""
    assert find(CATALOG, "nvm").missing == "there is no PCI driver nvm (there is nvme)"
    assert "no driver vfio-pci" in (find(BARE, "vfio-pci").missing or "")
    blind = find(BLIND, "vfio-pci")
    assert (blind.missing, blind.module) == (None, "vfio_pci")
    assert "not known" in (blind.doubt or "")


def test_the_alias_with_the_fewest_wildcards_wins() -> None:
    """As libvirt has it (K52)."""
    aliases = (
        ModuleAlias("v000015B3d*sv*sd*bc*sc*i*", "wide_vfio_pci"),
        ModuleAlias("v000015B3d0000101Esv*sd*bc02sc*i*", "close_vfio_pci"),
        *CATALOG.vfio_aliases,
    )

    found = variants(CATALOG._replace(vfio_aliases=aliases), NIC)

    assert found == ("close_vfio_pci", "mlx5_vfio_pci", "wide_vfio_pci", "vfio_pci")


def test_a_modalias_is_spelled_as_the_kernel_does() -> None:
    """Upper-case hex of fixed widths."""
    device = make_device(
        vendor_id=0x10DE,
        device_id=0x2342,
        subsystem_vendor_id=0x1043,
        subsystem_device_id=0xAB,
        class_code=0x030200,
    )

    assert modalias(device) == "v000010DEd00002342sv00001043sd000000ABbc03sc02i00"


@pytest.mark.parametrize("wanted", [None, "auto"])
def test_the_variant_made_for_a_device_is_taken_where_it_is_installed(wanted: str | None) -> None:
    """And it is said which and why; vfio-pci only where somebody asks which."""
    variant, missing, plain = (choose(CATALOG, device, wanted) for device in (NIC, GRACE, make_device()))

    assert variant[:2] == ("mlx5_vfio_pci", "mlx5_vfio_pci")
    assert "made for this model" in (variant.reason or "")
    assert missing[:2] == ("vfio-pci", None)
    assert "nvgrace_gpu_vfio_pci" in (missing.reason or "")
    assert plain[:2] == ("vfio-pci", None)
    assert (plain.reason is not None) == (wanted == "auto")


def test_what_was_asked_for_is_taken_without_a_word() -> None:
    """Also vfio-pci for a device that has a variant."""
    assert choose(CATALOG, NIC, "vfio_pci") == find(CATALOG, "vfio-pci")


def test_modules_are_loaded_first_and_once() -> None:
    """The driver's, and the one that VFIO_SET_IOMMU needs (K25); none that is there."""
    catalog = CATALOG._replace(registered=frozenset(), loaded=(), present=frozenset())
    devices = make_device(driver=None), make_device("65:00.1", driver=None)
    request = Request((devices[0].address,))

    bare, there = (plan_bind(make_host(*devices), one, NOWHERE, request) for one in (catalog, CATALOG))

    assert bare.modules == (LoadModule("vfio_pci"), LoadModule("vfio_iommu_type1"))
    assert bare.steps[:2] == bare.modules
    assert there.modules == ()


def test_a_kernel_without_vfio_cannot() -> None:
    """Exit code 5; the plan is shown all the same."""
    host = make_host(make_device(driver="nvme"))

    plan = plan_bind(host, BARE, NOWHERE, Request((at("65:00.0"),)))

    assert plan.exit_code == 5
    assert [one.check for one in plan.refusals] == ["host-cannot"]
    assert "modinfo vfio_pci" in plan.refusals[0].hint


def test_a_kernel_without_type1_is_warned_about() -> None:
    """Programs that use iommufd can do without."""
    catalog = CATALOG._replace(present=frozenset(), loadable=frozenset())
    host = make_host(make_device(driver="nvme"))

    plan = plan_bind(host, catalog, NOWHERE, Request((at("65:00.0"),)))

    assert plan.modules == ()
    assert [(one.check, one.severity) for one in plan.findings] == [("driver", Severity.WARN)]
    assert "vfio_iommu_type1" in plan.findings[0].message
