"""YAML of others, read so that nothing in it can do harm: no objects, no aliases, no bombs."""

from __future__ import annotations

import yaml

from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

LARGEST = 4 << 20
"""Bytes; what a cluster stores of one object ends at 1.5 MiB."""

_DEEPEST = 100


class _Loader(yaml.SafeLoader):
    """Plain values only; refuses what Kubernetes refuses as well: a key twice."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Read one node; an alias could stand for a document of any size."""
        if self.check_event(yaml.AliasEvent):
            raise self._refused("aliases are not read")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._refused(f"nested deeper than {_DEEPEST} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refused(self, why: str) -> yaml.MarkedYAMLError:
        mark = self.get_mark()
        return yaml.MarkedYAMLError(problem=why, problem_mark=mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        """Build a mapping, each key of it once."""
        seen = set()
        # A list that says it is a mapping (!!map [...]) is refused below.
        for key, _ in node.value if node.id == "mapping" else ():
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands here twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(content: bytes, name: str) -> list[Any]:
    """Return the documents of a YAML or JSON text; empty ones are none.

    Raises:
        UsageError: it is too large, or not to be read; the message says where.

    """
    if len(content) > LARGEST:
        raise UsageError(f"{name} is larger than {LARGEST} bytes", hint="is it the right file?")
    try:
        text = content.decode()
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.MarkedYAMLError as problem:
        where = problem.problem_mark
        line = f", line {where.line + 1}" if where else ""
        raise _unreadable(name + line, problem.problem or "not YAML") from problem
    # Dates, numbers and truths that are none (each of its own kind), characters that YAML does not allow,
    # brackets without end.
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as problem:
        raise _unreadable(name, str(problem).partition("\n")[0] or "not YAML") from problem


def _unreadable(where: str, why: str) -> UsageError:
    return UsageError(
        f"{where}: {why}", hint="YAML or JSON as kubectl prints it: kubectl get kubevirt -A -o yaml"
    )
