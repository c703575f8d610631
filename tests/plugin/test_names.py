from __future__ import annotations

import pytest

from vfioctl.plugin.names import (
    collision,
    json_variable,
    kubevirt_variable,
    pcidevice_variable,
    resource_name_problem,
)

LONGEST_DOMAIN = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    "name",
    [
        "vfioctl.io/t4",
        "foo.com/X_y.z-1",  # measured
        f"foo.com/{'x' * 63}",  # measured
        "a/b",
        "1.2/3",
        f"{LONGEST_DOMAIN}/x",
        "kubernetes.io.example.com/x",
    ],
)
def test_names_that_a_kubelet_takes(name: str) -> None:
    """As measured with running kubelets."""
    assert resource_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("nodomain", "one slash"),
        ("foo.com/a/b", "one slash"),
        ("", "one slash"),
        ("/x", "domain must be"),
        ("foo.com/", "part after the slash must be"),
        ("kubernetes.io/x", "belongs to Kubernetes"),
        ("foo.kubernetes.io/x", "belongs to Kubernetes"),
        ("mykubernetes.io/x", "belongs to Kubernetes"),
        ("requests.foo.com/x", "requests."),
        ("foo.com/x y", "part after the slash must be"),
        ("Foo.com/x", "domain must be"),
        ("foo_bar.com/x", "domain must be"),
        ("foo..com/x", "domain must be"),
        (".foo/x", "domain must be"),
        ("foo-/x", "domain must be"),
        (f"foo.com/{'x' * 64}", "64 characters"),
        (f"{LONGEST_DOMAIN}.a/x", "245 characters"),
        ("foo.com/x_", "part after the slash must be"),
        ("foo.com/-x", "part after the slash must be"),
        ("foo.com/x\n", "part after the slash must be"),
        ("foo.com/ä", "part after the slash must be"),
        ("foo.com\n/x", "domain must be"),
    ],
)
def test_names_that_a_kubelet_refuses(name: str, because: str) -> None:
    """Each with its reason: the kubelet itself would only say that the name is invalid."""
    assert because in (resource_name_problem(name) or "accepted")


@pytest.mark.parametrize(
    ("kind", "resource", "variable"),
    [
        ("pci", "vfioctl.io/t4", "PCI_RESOURCE_VFIOCTL_IO_T4"),
        ("pci", "vfioctl.io/gpu-a", "PCI_RESOURCE_VFIOCTL_IO_GPU-A"),
        ("pci", "my-org.example.com/A.b_c-D", "PCI_RESOURCE_MY-ORG_EXAMPLE_COM_A_B_C-D"),
        ("pci", "nvidia.com/TU104GL_Tesla_T4", "PCI_RESOURCE_NVIDIA_COM_TU104GL_TESLA_T4"),
        ("mdev", "vfioctl.io/grid-t4-1q", "MDEV_PCI_RESOURCE_VFIOCTL_IO_GRID-T4-1Q"),
        ("usb", "vfioctl.io/dongle", "USB_RESOURCE_VFIOCTL_IO_DONGLE"),
    ],
)
def test_variables_are_called_what_virt_launcher_looks_for(kind: str, resource: str, variable: str) -> None:
    """Upper case, '/' and '.' become '_', a '-' stays."""
    assert kubevirt_variable(kind, resource) == variable


def test_the_other_variables() -> None:
    """As the SR-IOV plugin calls its own, and ours."""
    assert pcidevice_variable("intel.com/sriov-a") == "PCIDEVICE_INTEL_COM_SRIOV-A"
    assert json_variable("vfioctl.io/t4") == "VFIOCTL_RESOURCE_VFIOCTL_IO_T4"


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("a.b/c", "a/b.c", True),
        ("a.b/c", "a.b/C", True),
        ("a.b/c_d", "a.b/c.d", True),
        ("a.b/c-d", "a.b/c_d", False),
        ("a.b/c", "a.b/d", False),
    ],
)
def test_names_that_become_one_variable(one: str, other: str, *, collide: bool) -> None:
    """Two resources in one variable would give a VM the devices of both."""
    assert (collision([one, "x.y/z", other]) == (one, other)) is collide
