"""Names that others parse: resources as the kubelet takes them, variables as KubeVirt reads them."""

from __future__ import annotations

from vfioctl.model.pattern import pattern
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_DOMAIN = "vfioctl.io"
"""The domain of resources that nobody named."""

LONGEST_DOMAIN = 244
"""The kubelet puts ``requests.`` before it, and 253 is what DNS allows."""

LONGEST_NAME = 63
"""Of the part after the slash, and of what a device is called."""

_DOMAIN = pattern(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NAME = pattern(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RESERVED = "kubernetes.io"

KUBEVIRT_PREFIXES = {"pci": "PCI_RESOURCE", "mdev": "MDEV_PCI_RESOURCE", "usb": "USB_RESOURCE"}
"""What virt-launcher's variables begin with, by the kind of resource."""


def domain_problem(domain: str) -> str | None:
    """Say why the kubelet would refuse a resource's domain, or return None."""
    if _DOMAIN.fullmatch(domain) is None:
        return (
            "the domain must be lower-case letters, digits, '-' and '.', each part beginning and ending with"
            " a letter or digit"
        )
    if len(domain) > LONGEST_DOMAIN:
        return f"the domain has {len(domain)} characters, {LONGEST_DOMAIN} are allowed"
    if domain.endswith(_RESERVED):
        return f"a domain that ends with {_RESERVED} belongs to Kubernetes"
    if domain.startswith("requests."):
        return "a resource must not begin with 'requests.'"
    return None


def resource_name_problem(name: str) -> str | None:
    """Say why the kubelet would refuse a resource's name (as measured with 1.33 and 1.36), or return None."""
    domain, slash, own = name.partition("/")
    if not slash or "/" in own:
        return "a resource is named DOMAIN/NAME, with one slash"
    if problem := domain_problem(domain):
        return problem
    if _NAME.fullmatch(own) is None:
        return (
            "the part after the slash must be letters, digits, '-', '_' and '.', beginning and ending with a"
            " letter or digit"
        )
    if len(own) > LONGEST_NAME:
        return f"the part after the slash has {len(own)} characters, {LONGEST_NAME} are allowed"
    return None


def variable_suffix(resource: str) -> str:
    """Return what a resource is called in variables: upper case, ``/`` and ``.`` become ``_``, ``-`` stays.

    So does KubeVirt's ResourceNameToEnvVar, whatever its own page says.
    """
    return resource.upper().replace("/", "_").replace(".", "_")


def kubevirt_variable(kind: str, resource: str) -> str:
    """Return the variable in which virt-launcher looks for devices of a kind: pci, mdev or usb."""
    return f"{KUBEVIRT_PREFIXES[kind]}_{variable_suffix(resource)}"


def pcidevice_variable(resource: str) -> str:
    """Return the variable that the SR-IOV network device plugin made customary."""
    return f"PCIDEVICE_{variable_suffix(resource)}"


def json_variable(resource: str) -> str:
    """Return the variable that describes what was allocated, as JSON."""
    return f"VFIOCTL_RESOURCE_{variable_suffix(resource)}"


def collision(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two resources whose variables would have the same name.

    Their kinds do not matter: virt-launcher looks for a resource under every prefix, and would find the
    other's.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(variable_suffix(name), name)
        if other != name:
            return other, name
    return None
