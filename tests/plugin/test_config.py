from __future__ import annotations

import copy
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.plugin.config import default_config, load, parse
from vfioctl.plugin.settings import (
    Backend,
    BindMode,
    EnvStyle,
    Kind,
    Plugin,
    Registration,
    SharedGroup,
    Unit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD: dict[str, Any] = {
    "plugin": {
        "kubelet_dir": "/var/lib/k0s/kubelet",
        "device_plugins_dir": "/run/plugins",
        "listen": "[::1]:9464",
        "registration": "watcher",
    },
    "resource": [
        {
            "name": "vfioctl.io/t4",
            "kind": "pci",
            "select": ["10de:1eb8,numa:0", "vfs-of:ens1f0#0-3"],
            "exclude": ["0000:01:*"],
            "unit": "slot",
            "shared_group": "exclusive",
            "backend": "legacy",
            "env": ["kubevirt", "json"],
            "bind": "at-start",
            "cdi": True,
            "priority": 5,
        },
        {
            "name": "vfioctl.io/grid",
            "kind": "mdev",
            "select": ["class:gpu", "mdev:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"],
            "exclude": ["numa:1"],
            "types": ["nvidia-63"],
            "env": ["json"],
            "priority": -1,
        },
        {
            "name": "vfioctl.io/dongle",
            "kind": "usb",
            "select": ["usb:1050:0407", "usb:1-2.5"],
            "exclude": ["usb:1-3"],
            "env": ["kubevirt"],
            "priority": 0,
        },
        {"name": "vfioctl.io/kvm", "kind": "node", "paths": ["/dev/kvm"], "count": 110},
    ],
}


def toml(value: object) -> str:
    """Spell a value in TOML; what is a text already spelled so is given as bytes."""
    match value:
        case bytes():
            return value.decode()
        case bool():
            return str(value).lower()
        case str():
            escaped = "".join(
                char if " " <= char != "\\" and char != '"' else f"\\u{ord(char):04x}" for char in value
            )
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {toml(member)}' for key, member in value.items())}}}"
        case _:
            return str(value)


def spelled(document: dict[str, Any]) -> str:
    """Spell a whole file."""
    return "".join(f"{key} = {toml(value)}\n" for key, value in document.items())


def test_every_key_is_read() -> None:
    """The good file, as values."""
    read = parse(spelled(GOOD), "plugin.toml")

    t4, grid, dongle, kvm = read.resources
    assert read.plugin == Plugin("/var/lib/k0s/kubelet", "/run/plugins", "[::1]:9464", Registration.WATCHER)
    assert (read.file, read.domain) == ("plugin.toml", None)
    assert [selector.text for selector in t4.select] == ["10de:1eb8,numa:0", "vfs-of:ens1f0#0-3"]
    assert [selector.text for selector in t4.exclude] == ["0000:01:*"]
    assert (t4.unit, t4.shared_group, t4.backend) == (Unit.SLOT, SharedGroup.EXCLUSIVE, Backend.LEGACY)
    assert (t4.env, t4.bind) == ((EnvStyle.KUBEVIRT, EnvStyle.JSON), BindMode.AT_START)
    assert (t4.cdi, t4.priority) == (True, 5)
    assert (grid.kind, grid.types, grid.priority) == (Kind.MDEV, ("nvidia-63",), -1)
    assert (dongle.kind, dongle.select[1].text) == (Kind.USB, "usb:1-2.5")
    assert (kvm.kind, kvm.paths, kvm.count, kvm.env) == (Kind.NODE, ("/dev/kvm",), 110, ())


def test_what_is_not_said_has_a_default() -> None:
    """As the product's contract lists them; the kind is pci."""
    read = parse('[[resource]]\nname = "a.b/c"\nselect = ["class:gpu"]\n')

    (resource,) = read.resources
    assert read.plugin == Plugin(
        "/var/lib/kubelet", "/var/lib/kubelet/device-plugins", "127.0.0.1:9464", Registration.KUBELET
    )
    assert (resource.kind, resource.unit, resource.shared_group) == (
        Kind.PCI,
        Unit.DEVICE,
        SharedGroup.SAME_POD,
    )
    assert (resource.backend, resource.env) == (Backend.AUTO, (EnvStyle.KUBEVIRT,))
    assert (resource.bind, resource.cdi, resource.priority) == (BindMode.ASSUME, False, 0)


def test_an_empty_listen_is_off() -> None:
    """Then there is no server for metrics."""
    assert (
        parse('plugin.listen = ""\n[[resource]]\nname = "a.b/c"\nselect = ["class:gpu"]').plugin.listen == ""
    )


# The ways in which a value is spoiled: what it becomes, by what it was. None leaves it out.
WRONG_TYPES: dict[type, list[object]] = {
    str: [7, True, 1.5, [], {}, "", "no such word", "\0", b"2026-11-23"],
    list: [7, "text", {}, True, [7], [""], [[]], [{}]],
    bool: ["true", 1, 0, [], b"nan"],
    int: ["1", 1.0, True, [], 10**9, -(10**9), b"inf"],
    dict: [7, "text", [7], True],
}
MAY_BE = {("plugin.listen", ""), ("resource[1].types[0]", "no such word")}
"""What is valid all the same: nothing listens, and a type may be called anything."""


def spots(value: object, path: str = "") -> Iterator[tuple[str, list[str | int]]]:
    """Yield every key's path, as it is printed and as it is walked."""
    if isinstance(value, dict):
        for key, member in value.items():
            here = f"{path}.{key}" if path else key
            yield here, [key]
            yield from ((text, [key, *steps]) for text, steps in spots(member, here))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            here = f"{path}[{index}]"
            yield here, [index]
            yield from ((text, [index, *steps]) for text, steps in spots(member, here))


def spoiled() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield malformed documents, each with the path of what is wrong with it."""
    for path, steps in spots(GOOD):
        value: Any = GOOD
        for step in steps:
            value = value[step]
        for wrong in WRONG_TYPES[type(value)]:
            if isinstance(wrong, str) and (path, wrong) in MAY_BE:
                continue
            document = copy.deepcopy(GOOD)
            _container(document, steps)[steps[-1]] = wrong
            yield path, document
        if isinstance(value, dict):
            for key in ("", "zelect", "Name", "priority ", "count" if "count" not in value else "unit"):
                document = copy.deepcopy(GOOD)
                _container(document, [*steps, ""])[f'"{key}"' if not key.isalpha() else key] = 1
                yield path + "." + key, document


def _container(document: Any, steps: list[str | int]) -> Any:  # noqa: ANN401 - whatever TOML holds
    for step in steps[:-1]:
        document = document[step]
    return document


MALFORMED = sorted(spoiled(), key=lambda pair: pair[0])


def test_there_are_enough_malformed_configurations() -> None:
    """Two hundred of them, each different."""
    assert len({spelled(document) for _, document in MALFORMED}) >= 200


@pytest.mark.parametrize("start", range(0, len(MALFORMED), 40))
def test_a_malformed_configuration_names_file_key_and_expectation(start: int) -> None:
    """Every value of the good file spoiled in every way, every table with keys it does not have."""
    for path, document in MALFORMED[start : start + 40]:
        text = spelled(document)

        with pytest.raises(UsageError) as caught:
            parse(text, "plugin.toml")

        # What is wrong with a list may be its first member.
        assert caught.value.message.startswith(f"plugin.toml: {path}"), (text, caught.value.message)
        assert caught.value.hint, text
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("seed", range(4))
def test_bytes_that_are_changed_at_random_never_end_otherwise(seed: int, tmp_path: Path) -> None:
    """A damaged file is read as something valid, or refused with its name: never a traceback."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    good = spelled(GOOD).encode()
    path = tmp_path / "plugin.toml"
    refused = 0
    for _ in range(100):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(damaged))
            damaged[where : where + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        path.write_bytes(damaged)
        problem = refusal(str(path))
        if problem is not None:
            refused += 1
            assert problem.message.startswith(str(path))
            assert problem.hint
    assert refused > 50


def refusal(path: str) -> UsageError | None:
    """Return why a file is refused; anything but that is raised."""
    try:
        load(path)
    except UsageError as problem:
        return problem
    return None


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("select = 'class:gpu'", "resource[0].select: 'class:gpu' is no list", "a list in brackets"),
        (
            "select = ['class:gpuu']",
            "resource[0].select[0]: selector 'class:gpuu' is malformed",
            "hex digits",
        ),
        ("select = ['usb:1-2']", "resource[0].select[0]: 'usb:1-2' names USB devices", "this kind"),
        ("select = []", "resource[0].select: the list is empty", "at least 1"),
        ("select = ['class:gpu', 'class:gpu']", "select[1]: 'class:gpu' is listed twice", "once"),
        ("select = ['class:gpu']\nuint = 'slot'", "resource[0].uint: unknown key", "did you mean unit?"),
        ("select = ['class:gpu']\nunit = 'slots'", "resource[0].unit: 'slots' is none", "did you mean slot?"),
        ("select = ['class:gpu']\npriority = true", "resource[0].priority: true is no such number", "-1000"),
        ("select = ['class:gpu']\npaths = ['/dev/kvm']", 'paths: not for kind = "pci"', "one of name"),
        ("kind = 'node'\npaths = ['/dev/kvm']\ncdi = true", 'cdi: not for kind = "node"', "one of name"),
        ("kind = 'node'\npaths = ['/dev/../etc']", "paths[0]: '/dev/../etc' is no path of", "/dev/kvm"),
        ("kind = 'node'\npaths = ['/dev/vfio/']", "paths[0]: '/dev/vfio/' is no path of", "/dev/kvm"),
        ("kind = 'node'\npaths = ['/dev/kvm']\ncount = 0", "count: 0 is no such number", "from 1 to"),
        ("kind = 'usb'\nselect = ['class:usb']", "select[0]: 'class:usb' names no USB device", "usb:1050"),
        ("kind = 'usb'\nselect = ['usb:1-2']\nenv = ['pcidevice']", 'env: "pcidevice" is about', "json"),
        ("kind = 'gpu'", "resource[0].kind: 'gpu' is none of its words", '"pci", "mdev"'),
        ("", "resource[0].select: missing", "it in every such table"),
        (
            "select = ['class:gpu']\non_release = ['rest']",
            "on_release[0]: 'rest' is none of its words",
            "did you mean reset?",
        ),
        (
            "select = ['class:gpu']\non_release = ['/usr/../tmp/x']",
            "on_release[0]: '/usr/../tmp/x' is no path",
            "without detours",
        ),
        ("select = ['class:gpu']\non_release = 'reset'", "on_release: 'reset' is no list", "in brackets"),
        (
            "select = ['class:gpu']\nrelease_timeout = 0",
            "release_timeout: 0 is no such number",
            "from 1 to 3600",
        ),
        ("kind = 'usb'\nselect = ['usb:1-2']\non_release = []", 'on_release: not for kind = "usb"', "one of"),
        (
            "select = ['class:gpu']\nbind = 'on-demand'\nbackend = 'iommufd'",
            "resource[0].backend: with bind",
            "another bind",
        ),
        (
            "select = ['class:gpu']\nrelease_shpchp = true",
            'resource[0].release_shpchp: with bind = "assume"',
            "--release-shpchp",
        ),
        (
            "select = ['class:gpu']\nbind = 'at-start'\nrelease_shpchp = 1",
            "resource[0].release_shpchp: 1 is neither true nor false",
            "without quotes",
        ),
        (
            "kind = 'node'\npaths = ['/dev/kvm']\nrelease_shpchp = true",
            "release_shpchp: not for kind",
            "one of",
        ),
    ],
)
def test_what_a_resource_is_refused_for(line: str, message: str, hint: str) -> None:
    """The key's path, what is there, what was expected."""
    with pytest.raises(UsageError) as caught:
        parse(f'[[resource]]\nname = "vfioctl.io/x"\n{line}', "p.toml")

    assert f"p.toml: {message}" in caught.value.message or message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.b/c", "a.b/c"), "resource[1].name: a.b/c is resource[0] already"),
        (("a.b/c", "x.y/z", "a.b/C"), "resource[2].name: a.b/C and a.b/c would be the same variable"),
    ],
)
def test_two_resources_of_one_name_or_variable_are_refused(names: tuple[str, ...], message: str) -> None:
    """A VM would be given the devices of both."""
    tables = (f'[[resource]]\nname = "{name}"\nselect = ["class:gpu"]\n' for name in names)

    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        parse("".join(tables))


def test_resources_without_variables_may_have_names_alike() -> None:
    """Nobody looks for them in a variable."""
    tables = (
        f'[[resource]]\nname = "{name}"\nselect = ["class:gpu"]\nenv = []\n' for name in ("a.b/c", "a.b/C")
    )

    assert len(parse("".join(tables)).resources) == 2


def test_items_of_nodes_keep_apart_and_short() -> None:
    """The kubelet looks an item up by its id alone, and documents 63 characters for it."""
    node = 'kind = "node"\npaths = ["/dev/kvm"]\n'
    with pytest.raises(UsageError, match=r"resource\[1\].name: resource\[0\] has items called kvm#0"):
        parse(f'[[resource]]\nname = "a.b/kvm"\n{node}[[resource]]\nname = "c.d/kvm"\n{node}')
    with pytest.raises(UsageError, match="of 64 characters"):
        parse(f'[[resource]]\nname = "a.b/{"k" * 61}"\n{node}count = 100')
    parse(f'[[resource]]\nname = "a.b/{"k" * 61}"\n{node}count = 10')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "resource: missing"),
        ("[plugin]", "resource: missing"),
        ("resource = []", "resource: it is no list of tables"),
        ("[resource]\nname = 'a.b/c'", "resource: it is no list of tables"),
        ("resource = [1]", r"resource\[0\]: 1 is no table"),
        ("resources = []", "resources: unknown key"),
        ("plugin = 1\n[[resource]]\nname='a.b/c'\nselect=['class:gpu']", "plugin: 1 is no table"),
        ("[[resource]\n", "not TOML: .*line 1.*: \\[\\[resource\\]"),
        ("[[resource]]\nname = vfioctl.io/t4\n", "not TOML: .*line 2.*: name = vfioctl.io/t4"),
        ("a = 1\na = 2", "not TOML: cannot overwrite a value"),
        ("a = " + "9" * 5000, "not TOML: exceeds the limit"),
        ("a = " + "[" * 20000, "not TOML"),
        ("a = 2026-13-45", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(text: str, message: str) -> None:
    """What TOML does not say, and what is not TOML: with the line, where that is known."""
    with pytest.raises(UsageError, match=message) as caught:
        parse(text, "p.toml")

    assert caught.value.message.startswith("p.toml: ")


def missing(path: Path) -> None:
    """Leave nothing there."""


def folder(path: Path) -> None:
    """Make a folder instead."""
    path.mkdir()


def not_utf8(path: Path) -> None:
    """Write what no text is."""
    path.write_bytes(b'[plugin]\nlisten = "\xff"\n')


def huge(path: Path) -> None:
    """Write more than anybody configures."""
    path.write_bytes(b"#" * ((1 << 20) + 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "no such file"),
        (folder, "is a directory"),
        (not_utf8, "line 2 is not UTF-8"),
        (huge, "larger than"),
    ],
)
def test_a_file_that_cannot_be_used(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    """Each with the path."""
    path = tmp_path / "plugin.toml"
    make(path)

    with pytest.raises(UsageError, match=message) as caught:
        load(str(path))

    assert str(path) in caught.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """That is exit code 6, not a bad configuration."""
    path = tmp_path / "plugin.toml"
    path.write_text("")
    path.chmod(0)

    with pytest.raises(NotPermittedError):
        load(str(path))


def test_a_configuration_may_begin_with_a_byte_order_mark_only_if_toml_says_so(tmp_path: Path) -> None:
    """It does not: the line is shown."""
    path = tmp_path / "plugin.toml"
    path.write_text("\ufeff[plugin]\n", encoding="utf-8")

    with pytest.raises(UsageError, match="not TOML: invalid statement"):
        load(str(path))


@pytest.mark.parametrize("domain", ["", "Foo.com", "kubernetes.io", "requests.x", "a" * 250])
def test_a_default_needs_a_domain_that_a_kubelet_takes(domain: str) -> None:
    """The same rules as for names that were written."""
    with pytest.raises(UsageError):
        default_config(domain)
