"""Hundreds of wrong configurations made from a good one: each is refused, and where it is wrong is said."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.in_process import Program
from vfioctl.errors import UsageError
from vfioctl.plugin.config import load, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD: dict[str, Any] = {
    "plugin": {
        "kubelet_dir": "/var/lib/kubelet",
        "device_plugins_dir": "/var/lib/kubelet/device-plugins",
        "listen": "127.0.0.1:9464",
        "registration": "kubelet",
    },
    "resource": [
        {
            "name": "vfioctl.io/gpu",
            "kind": "pci",
            "select": ["10de:2204", "class:gpu,driver:vfio-pci"],
            "exclude": ["0000:01:00.0"],
            "unit": "slot",
            "shared_group": "refuse",
            "backend": "auto",
            "env": ["kubevirt", "json"],
            "bind": "assume",
            "cdi": True,
            "priority": 3,
        },
        {"name": "vfioctl.io/vgpu", "kind": "mdev", "select": ["class:gpu"], "types": ["nvidia-63"]},
        {"name": "vfioctl.io/key", "kind": "usb", "select": ["usb:1050:0407"], "env": ["kubevirt"]},
        {"name": "vfioctl.io/kvm", "kind": "node", "paths": ["/dev/kvm"], "count": 4},
    ],
}
WRONG = {
    str: [7, True, 1.5, ["x"], {"x": 1}, "", "no such word", "\x07", "x" * 500],
    bool: ["true", 1, [], "yes"],
    int: ["3", True, 2.5, 10**30, -(10**9), [3]],
    list: ["x", 7, {"a": 1}, [[]], [7], [True], ["no such: thing"], [{"x": 1}]],
}
"""Of each kind of value, what cannot stand for it anywhere in the good one."""


class Case(NamedTuple):
    """A wrong configuration, and what its error must name."""

    text: str
    named: str


def spelled(value: Any) -> str:  # noqa: ANN401 - whatever TOML can hold
    """Return a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {spelled(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return json.dumps(value)


def written(document: dict[str, Any]) -> str:
    """Return a configuration as text."""
    lines = []
    for heading, tables in (("[plugin]", [document["plugin"]]), ("[[resource]]", document["resource"])):
        for table in tables:
            lines += [heading, *(f"{json.dumps(key)} = {spelled(value)}" for key, value in table.items()), ""]
    return "\n".join(lines)


def tables(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tables of a configuration with their places."""
    yield "plugin", document["plugin"]
    for number, table in enumerate(document["resource"]):
        yield f"resource[{number}]", table


def of_structure() -> Iterator[Case]:
    """Yield configurations in which one key is wrong: its value, its spelling, its absence."""
    for place, table in list(tables(GOOD)):
        for key, value in table.items():
            for wrong in WRONG[type(value)]:
                # Listening nowhere is possible, and a type may have any name.
                if (key, wrong) not in (("listen", ""), ("types", ["no such: thing"])):
                    yield Case(_changed(place, key, wrong), f"{place}.{key}")
            yield Case(_changed(place, key, value, f"{key}s"), f"{place}.{key}s")
            yield Case(_changed(place, key, value, key.upper()), f"{place}.{key.upper()}")
        yield Case(_changed(place, "x y", 1), f"{place}.x y")
        for required in {"name", "select", "paths"} & table.keys():
            yield Case(_changed(place, required, None), f"{place}.{required}")


def _changed(place: str, key: str, value: Any, spelling: str | None = None) -> str:  # noqa: ANN401 - as above
    document = copy.deepcopy(GOOD)
    table = dict(tables(document))[place]
    table.pop(key, None)
    if value is not None:
        table[spelling or key] = value
    return written(document)


def of_text(chance: Random) -> Iterator[Case]:
    """Yield texts that are no TOML: something is missing, or one too many, in one of the lines."""
    lines = written(GOOD).split("\n")
    for number, line in enumerate(lines):
        for wrong in (line.replace('"', "", 1), line.replace("]", "", 1), line.replace(" = ", " ", 1)):
            if wrong != line:
                yield Case("\n".join([*lines[:number], wrong, *lines[number + 1 :]]), "line ")
        at = chance.randrange(len(line) + 1)
        stray = chance.choice(["\0", "\x01", "\x7f"])
        broken = f"{line[:at]}{stray}{line[at:]}"
        yield Case("\n".join([*lines[:number], broken, *lines[number + 1 :]]), f"line {number + 1}")


def test_the_good_one_is_good() -> None:
    """Otherwise all that follows would mean nothing."""
    assert len(parse(written(GOOD)).resources) == 4


def test_each_wrong_one_is_refused_and_the_key_is_named() -> None:
    """Exit code 2, the file, the key's path or the line, and what was expected; never anything else."""
    cases = [*of_structure(), *of_text(Random(6))]  # noqa: S311 - the same ones each time
    assert len({case.text for case in cases}) >= 200

    for case in cases:
        with pytest.raises(UsageError) as refused:
            parse(case.text, "plugin.toml")
        message = refused.value.message
        assert refused.value.exit_code == 2
        assert message.startswith("plugin.toml: "), message
        assert case.named in message, (case.named, message)
        assert refused.value.hint, message


@pytest.mark.slow
def test_the_command_says_the_same(tmp_path: Path) -> None:
    """A few of each sort, and bytes that are no text, through the real command."""
    chance = Random(6)  # noqa: S311 - the same ones each time
    file, program = tmp_path / "plugin.toml", Program()
    cases = [*chance.sample(list(of_structure()), 8), *chance.sample(list(of_text(chance)), 4)]
    for case in cases:
        file.write_text(case.text)
        done = program("--root", "sample", "serve-plugin", "--dry-run", "--config", file)
        assert done.code == 2, case
        assert case.named in done.err
        assert "hint: " in done.err
        assert done.err.replace("\n", "").isprintable()
    file.write_bytes(written(GOOD).encode() + b'\nx = "\xff"\n')
    with pytest.raises(UsageError, match=r"line \d+ is not UTF-8"):
        load(str(file))
