"""The guides in docs/: what they show is what is printed, and what they tell to type is understood."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.plugin.kubelet.pods import pod
from tests.plugin.serving_host import serving_host
from vfioctl.cli.naming import Specification
from vfioctl.cli.tree import root
from vfioctl.export.yaml_source import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import click

    from tests.cli.conftest import Ask
    from vfioctl.model.host import Host
    from vfioctl.plugin.api.deviceplugin_pb2 import ContainerAllocateResponse

DOCS: Final = Path(__file__).parents[2] / "docs"
GUIDES: Final = ("containers.md", "kubelet.md", "kubevirt.md", "libvirt.md", "plugin.md")
PROMPT: Final = "$ vfioctl --root sample "


def blocks(name: str) -> Iterator[list[str]]:
    """Yield the indented blocks of a guide, line by line."""
    block: list[str] = []
    for line in [*(DOCS / name).read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif block:
            yield block
            block = []


SHOWN: Final = [(name, block) for name in GUIDES for block in blocks(name) if block[0].startswith(PROMPT)]
WHERE: Final = r"(?:^|\$\(|[|&] |sudo |^ExecStart=/usr/bin/)"
"""What stands before a command that is typed."""

TYPED: Final = [
    (name, found)
    for name in GUIDES
    for block in blocks(name)
    if not block[0].startswith(PROMPT)
    for line in block
    for found in re.findall(WHERE + r"vfioctl ([^|)>]*)", re.sub(r" +# .*", "", line))
]


def starting(name: str, start: str) -> str:
    """Return the blocks of a guide that begin so."""
    return "\n".join(line for block in blocks(name) if block[0].startswith(start) for line in [*block, ""])


def understood(words: list[str]) -> list[str]:
    """Return the command that arguments lead to; Click raises where it does not understand them."""
    context: click.Context | None = None
    command: click.Command = root
    path: list[str] = []
    while True:
        context = command.make_context(path[-1] if path else "vfioctl", words, parent=context)
        if not hasattr(command, "resolve_command"):
            return path
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)
        path.append(name)


@pytest.mark.parametrize(("name", "block"), SHOWN, ids=range(len(SHOWN)))
def test_what_is_shown_is_printed(name: str, block: list[str], ask: Ask) -> None:
    """Every block with a prompt, to the letter; the guide's configuration is where it says."""
    if "plugin.toml" in block[0]:
        Path("plugin.toml").write_text(starting(name, "[[resource]]"), encoding="utf-8")

    ended = ask(*shlex.split(block[0].removeprefix(PROMPT)), host="sample")

    assert ended.code == 0, name
    assert ended.out.splitlines() == block[1:]


@pytest.mark.parametrize(("name", "line"), TYPED, ids=range(len(TYPED)))
def test_what_is_to_be_typed_is_understood(name: str, line: str) -> None:
    """Commands and options exist; what they do to a host is tested elsewhere."""
    assert understood(shlex.split(line)), name


def test_the_pod_of_the_guide_is_admitted_and_told_what_the_guide_says(
    sample_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By a kubelet of the tests: names instead of nodes, and the address in the environment."""
    place = tmp_path_factory.mktemp("k")
    names = Specification(str(place / "cdi"), str(place / "none"))
    shown = next(block for name, block in SHOWN if name == "kubelet.md" and "pod-spec" in block[0])
    (made,) = read_yaml("\n".join(shown[1:]).encode(), "kubelet.md")
    limits = made["spec"]["containers"][0]["resources"]["limits"]
    asked = pod("vm", {name: int(count) for name, count in limits.items()})

    async def run() -> dict[str, ContainerAllocateResponse]:
        host = sample_host("sample")
        async with serving_host(place, host, starting("kubelet.md", "[[resource]]"), names) as stage:
            return await stage.answers(asked)

    answers = asyncio.run(run())
    (variable,) = answers["vfioctl.io/vf"].envs.items()
    text = (DOCS / "kubelet.md").read_text(encoding="utf-8")
    assert f"`{'='.join(variable)}`" in text
    assert [one.name for one in answers["vfioctl.io/vf"].cdi_devices] == ["vfioctl.io/vfio=0000:05:02.2"]
    assert [one.host_path for one in answers["vfioctl.io/kvm"].devices] == ["/dev/kvm"]


def test_what_the_guide_tells_kubevirt_speaks_for_itself(ask: Ask, tmp_path: Path) -> None:
    """Both documents, as they stand there, are found clean."""
    shown = [block for name, block in SHOWN if name == "kubevirt.md" and "kubevirt snippet" in block[0]]
    (tmp_path / "guide.yaml").write_text("---\n".join("\n".join([*block[1:], ""]) for block in shown))

    ended = ask("kubevirt", "check", str(tmp_path / "guide.yaml"), host="sample")

    assert len(shown) == 2
    assert (ended.code, ended.out) == (0, "nothing speaks against it\n")


def test_the_kubelets_settings_are_yaml() -> None:
    """No key twice, and nothing that is no mapping."""
    (settings,) = read_yaml(starting("kubelet.md", "apiVersion: kubelet").encode(), "kubelet.md")

    assert settings["kind"] == "KubeletConfiguration"
    assert settings["enableServer"] is False


def test_the_guides_are_found() -> None:
    """No block read would make every test above pass."""
    assert len(SHOWN) >= 10
    assert len(TYPED) >= 20
    assert "cdi generate" in [line.strip() for _, line in TYPED]
    assert "cdi list" in [line.strip() for _, line in TYPED]
