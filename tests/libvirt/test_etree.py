from __future__ import annotations

import subprocess
import sys

import pytest

PARSER_TARGET = """
class Target:
    def start(self, tag, attrib, nsmap=None): self.tag = tag
    def end(self, tag): pass
    def close(self): return self.tag
print(etree.fromstring("<a/>", etree.XMLParser(target=Target())))
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("print('inspect' in sys.modules)", "False"),
        ("import inspect; print(inspect.signature(lambda one: one))", "(one)"),
        (PARSER_TARGET, "a"),
    ],
    ids=["not loaded", "loads as ever", "lxml finds it"],
)
def test_inspect_is_loaded_by_who_uses_it(script: str, expected: str) -> None:
    """The stand-in is gone as soon as lxml is there, and stands for the real module where lxml asks it."""
    whole = f"import sys\nfrom vfioctl.libvirt.etree import etree\n{script}"

    ended = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == expected
