"""Read a configuration file: strictly, whole, and before anything of it is used."""

from __future__ import annotations

import tomllib
from pathlib import Path

from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.terms import MdevTerm, UsbTerm
from vfioctl.plugin import keys
from vfioctl.plugin.keys import Place, read_table
from vfioctl.plugin.names import LONGEST_NAME, collision
from vfioctl.plugin.settings import (
    DEFAULT_PATH,
    Backend,
    BindMode,
    Config,
    EnvStyle,
    Kind,
    Plugin,
    Registration,
    Resource,
    SharedGroup,
    Unit,
    default_config,
)
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vfioctl.plugin.keys import AnyReader

__all__ = ["Config", "default_config", "load", "parse"]

_LARGEST = 1 << 20
_MOST_ITEMS = 1000
_SHOWN_LINE = 80

_TOP: Mapping[str, AnyReader] = {
    "plugin": lambda _place, value: value,
    "resource": lambda _place, value: value,
}
_PLUGIN: Mapping[str, AnyReader] = {
    "kubelet_dir": keys.absolute_path,
    "device_plugins_dir": keys.absolute_path,
    "listen": keys.listen,
    "registration": keys.choice(Registration),
}
_EVERY: Mapping[str, AnyReader] = {"name": keys.resource_name, "kind": keys.choice(Kind)}
_PRIORITY = keys.number(-1000, 1000)
_RELEASE: Mapping[str, AnyReader] = {
    "on_release": keys.several(keys.release_action),
    "release_timeout": keys.number(1, 3600),
}
_BY_KIND: Mapping[Kind, Mapping[str, AnyReader]] = {
    Kind.PCI: {
        **_EVERY,
        "select": keys.several(keys.selector(), least=1),
        "exclude": keys.several(keys.selector()),
        "unit": keys.choice(Unit),
        "shared_group": keys.choice(SharedGroup),
        "backend": keys.choice(Backend),
        "env": keys.several(keys.choice(EnvStyle)),
        "bind": keys.choice(BindMode),
        "release_shpchp": keys.flag,
        "cdi": keys.flag,
        "priority": _PRIORITY,
        **_RELEASE,
    },
    Kind.MDEV: {
        **_EVERY,
        "select": keys.several(keys.selector(MdevTerm), least=1),
        "exclude": keys.several(keys.selector(MdevTerm)),
        "types": keys.several(keys.name),
        "env": keys.several(keys.choice(EnvStyle)),
        "priority": _PRIORITY,
    },
    Kind.USB: {
        **_EVERY,
        "select": keys.several(keys.selector(UsbTerm, needs=True), least=1),
        "exclude": keys.several(keys.selector(UsbTerm)),
        "env": keys.several(keys.choice(EnvStyle)),
        "priority": _PRIORITY,
    },
    Kind.NODE: {
        **_EVERY,
        "paths": keys.several(keys.device_path, least=1),
        "count": keys.number(1, _MOST_ITEMS),
    },
}
_REQUIRED: Mapping[Kind, Sequence[str]] = {
    Kind.PCI: ("name", "select"),
    Kind.MDEV: ("name", "select"),
    Kind.USB: ("name", "select"),
    Kind.NODE: ("name", "paths"),
}
_ENV = {Kind.PCI: (EnvStyle.KUBEVIRT,), Kind.MDEV: (EnvStyle.KUBEVIRT,), Kind.USB: (EnvStyle.KUBEVIRT,)}
_ANY_KEY = frozenset(key for readers in _BY_KIND.values() for key in readers)


def load(path: str = DEFAULT_PATH) -> Config:
    """Read a configuration file.

    Raises:
        UsageError: there is no such file, or something in it is wrong: the message names the file, the key's
            path and what is there, the hint what was expected.
        NotPermittedError: it may not be read.

    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except PermissionError as problem:
        raise NotPermittedError(f"{path} may not be read", hint="run it as a user who may") from problem
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise UsageError(
            f"{path}: {why.lower()}",
            hint="name a file with --config; without one, every endpoint on a vfio driver is offered",
        ) from problem
    if len(content) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST} bytes", hint="is it a configuration file?")
    try:
        return parse(content.decode(), path)
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise UsageError(f"{path}: line {line} is not UTF-8", hint="TOML is UTF-8 text") from problem


def parse(text: str, file: str = "configuration") -> Config:
    """Read a configuration from its text; the file's name is for messages.

    Raises:
        UsageError: something in it is wrong.

    """
    place = Place(file, "")
    table = read_table(place, _toml(text, file), _TOP, ())
    resources = _resources(place.below("resource"), table.get("resource"))
    plugin: dict[str, Any] = read_table(place.below("plugin"), table.get("plugin", {}), _PLUGIN, ())
    return Config(resources, Plugin(**plugin), file=file)


def _toml(text: str, file: str) -> object:
    try:
        return tomllib.loads(text)
    # A number of thousands of digits is a ValueError, brackets in brackets without end a RecursionError.
    except (ValueError, RecursionError) as problem:
        message = str(problem)
        _, _, after = message.partition("at line ")
        number = after.partition(",")[0]
        lines = text.split("\n")
        line = lines[int(number) - 1].strip() if number.isdecimal() and int(number) <= len(lines) else ""
        where = f": {line[:_SHOWN_LINE]}" if line else ""
        raise UsageError(
            f"{file}: not TOML: {message[:1].lower()}{message[1:]}{where}",
            hint="texts stand in quotes, lists in brackets, a table begins with [plugin] or [[resource]]",
        ) from problem


def _resources(place: Place, value: object) -> tuple[Resource, ...]:
    if value is None:
        raise place.error(
            "missing", "at least one [[resource]]; without a file, all on a vfio driver is offered"
        )
    if not isinstance(value, list) or not value:
        raise place.error("it is no list of tables", "[[resource]], in two brackets, once for each resource")
    resources = tuple(_resource(place.at(index), table) for index, table in enumerate(value))
    _check_names(place, resources)
    return resources


def _resource(place: Place, table: object) -> Resource:
    if not isinstance(table, dict):
        raise place.error(f"{keys.shown(table)} is no table", "[[resource]], in two brackets")
    kind = keys.choice(Kind)(place.below("kind"), table.get("kind", Kind.PCI.value))
    readers = _BY_KIND[kind]
    # First what is a key of no kind: where "kind" is misspelt, the others would be blamed for it.
    read_table(place, {key: value for key, value in table.items() if key not in _ANY_KEY}, readers, ())
    for key in table:
        if key in _ANY_KEY and key not in readers:
            raise place.below(key).error(f'not for kind = "{kind}"', f"one of {', '.join(readers)}")
    read: dict[str, Any] = read_table(place, table, readers, _REQUIRED[kind])
    resource = Resource(**{"kind": kind, "env": _ENV.get(kind, ()), **read})
    if kind is not Kind.PCI and EnvStyle.PCIDEVICE in resource.env:
        raise place.below("env").error('"pcidevice" is about PCI functions', '"kubevirt" or "json"')
    if resource.bind is BindMode.ON_DEMAND and resource.backend is Backend.IOMMUFD:
        raise place.below("backend").error(
            'with bind = "on-demand" nobody knows yet what the device\'s own node will be called',
            '"auto" or "legacy", or another bind',
        )
    if resource.release_shpchp and resource.bind is BindMode.ASSUME:
        raise place.below("release_shpchp").error(
            'with bind = "assume" nothing is bound, and no bridge released',
            '"at-start" or "on-demand" as bind; by hand: vfioctl bind --release-shpchp',
        )
    if kind is Kind.NODE:
        _check_node_id(place, resource)
    return resource


def _check_node_id(place: Place, resource: Resource) -> None:
    longest = f"{resource.own_name}#{resource.count - 1}"
    if len(longest) > LONGEST_NAME:
        raise place.below("name").error(
            f"its items would be called {longest}, of {len(longest)} characters", f"at most {LONGEST_NAME}"
        )


def _check_names(place: Place, resources: Sequence[Resource]) -> None:
    """Refuse two resources of one name, of one variable, or with items of the same names."""
    names = [resource.name for resource in resources]
    for index, name in enumerate(names):
        if name in names[:index]:
            first = names.index(name)
            raise (
                place.at(index)
                .below("name")
                .error(f"{name} is resource[{first}] already", "a name of its own")
            )
    if pair := collision(resource.name for resource in resources if resource.env):
        where = place.at(names.index(pair[1])).below("name")
        raise where.error(
            f"{pair[1]} and {pair[0]} would be the same variable in a container",
            "names that differ by more than case and the difference of '.', '_' and '/'",
        )
    nodes: dict[str, int] = {}
    for index, resource in enumerate(resources):
        if resource.kind is Kind.NODE and nodes.setdefault(resource.own_name, index) != index:
            raise (
                place.at(index)
                .below("name")
                .error(
                    f"resource[{nodes[resource.own_name]}] has items called {resource.own_name}#0 ... too",
                    "another name after the slash: the kubelet tells items apart by their names alone",
                )
            )
