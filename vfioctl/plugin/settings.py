"""The plugin's configuration as values, and what holds without a file."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.errors import UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.names import DEFAULT_DOMAIN, domain_problem
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.selector import Selector

DEFAULT_PATH = "/etc/vfioctl/plugin.toml"
"""Where the configuration is looked for, unless told otherwise."""

PATH_VARIABLE = "VFIOCTL_CONFIG"
"""The environment variable that stands in for ``--config``."""


class Kind(StrEnum):
    """What a resource consists of."""

    PCI = "pci"
    MDEV = "mdev"
    USB = "usb"
    NODE = "node"


class Unit(StrEnum):
    """What one allocatable item is."""

    DEVICE = "device"
    SLOT = "slot"
    GROUP = "group"


class SharedGroup(StrEnum):
    """What happens to the other items of an IOMMU group when one is allocated."""

    EXCLUSIVE = "exclusive"
    SAME_POD = "same-pod"
    REFUSE = "refuse"
    """A group that is spread over several items is not offered at all."""


class Backend(StrEnum):
    """Which nodes a container gets."""

    AUTO = "auto"
    """The group's node, and the device's own where the kernel has one (K27)."""
    LEGACY = "legacy"
    IOMMUFD = "iommufd"


class EnvStyle(StrEnum):
    """Whose variables name the devices."""

    KUBEVIRT = "kubevirt"
    PCIDEVICE = "pcidevice"
    JSON = "json"


class BindMode(StrEnum):
    """Who gives the devices to a vfio driver."""

    ASSUME = "assume"
    AT_START = "at-start"
    ON_DEMAND = "on-demand"


class OnRelease(StrEnum):
    """What can be done when a device is released, beside running a program."""

    RESET = "reset"
    GIVE_BACK = "give-back"
    """To the driver of the host that it came from."""


class Registration(StrEnum):
    """How the kubelet learns of the plugin."""

    KUBELET = "kubelet"
    WATCHER = "watcher"


REGISTRY = "plugins_registry"
"""Below the kubelet's root directory: where its plugin watcher finds sockets by itself."""


class Plugin(NamedTuple):
    """What holds for all resources."""

    kubelet_dir: str = "/var/lib/kubelet"
    """The kubelet's ``--root-dir``: there it tells what pods have, and its plugin watcher looks."""
    device_plugins_dir: str = "/var/lib/kubelet/device-plugins"
    """Where plugins register and serve: compiled into kubelets, whatever their ``--root-dir``."""
    listen: str = "127.0.0.1:9464"
    """Where metrics and health are served; empty: nowhere."""
    registration: Registration = Registration.KUBELET


class Resource(NamedTuple):
    """One resource, as it was asked for."""

    name: str
    kind: Kind
    select: tuple[Selector, ...] = ()
    exclude: tuple[Selector, ...] = ()
    types: tuple[str, ...] = ()
    """For mediated devices: only those of these types, by id or name; none: all."""
    unit: Unit = Unit.DEVICE
    shared_group: SharedGroup = SharedGroup.SAME_POD
    backend: Backend = Backend.AUTO
    env: tuple[EnvStyle, ...] = ()
    bind: BindMode = BindMode.ASSUME
    release_shpchp: bool = False
    """Whether a bind takes the group's bridges from shpchp, which would keep the group from VFIO (K19)."""
    on_release: tuple[str, ...] = ()
    """Words of `OnRelease` and paths of programs, in their order."""
    release_timeout: float = 60.0
    """Seconds after which such a program is killed."""
    cdi: bool = False
    priority: int = 0
    paths: tuple[str, ...] = ()
    """For nodes: what each item hands out, all of them."""
    count: int = 1  # type: ignore[assignment] # shadows tuple.count, which nothing calls here
    """For nodes: how many items there are."""

    @property
    def own_name(self) -> str:
        """The part of its name after the slash."""
        return self.name.partition("/")[2]


class Config(NamedTuple):
    """A whole configuration."""

    resources: tuple[Resource, ...]
    plugin: Plugin = Plugin()
    domain: str | None = None
    """Set where no file says what to offer: then it is every endpoint on a vfio driver, under this domain."""
    file: str | None = None

    def resource(self, name: str) -> Resource | None:
        """Return a resource by its name."""
        return next((resource for resource in self.resources if resource.name == name), None)


def default_config(domain: str = DEFAULT_DOMAIN) -> Config:
    """Return what holds without a file: every endpoint on a vfio driver, as ``<domain>/<vendor>_<device>``.

    Raises:
        UsageError: the kubelet would refuse the domain.

    """
    if problem := domain_problem(domain):
        raise UsageError(f"no domain for resources: {domain!r}: {problem}", hint="as in --domain vfioctl.io")
    return Config((), domain=domain)
