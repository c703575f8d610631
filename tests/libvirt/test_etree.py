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


COMPRESSED = """
import io
file = io.BytesIO()
etree.ElementTree(etree.Element("a")).write(file, compression=9)
import gzip
print(gzip.decompress(file.getvalue()).decode())
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("print({'inspect', 'gzip', 'typing'} & set(sys.modules))", "set()"),
        ("import inspect; print(inspect.signature(lambda one: one))", "(one)"),
        ("import typing; print(typing.Optional[int])", "typing.Optional[int]"),
        (PARSER_TARGET, "a"),
        (COMPRESSED, "<a/>"),
    ],
    ids=["not loaded", "inspect loads as ever", "typing too", "lxml finds inspect", "lxml finds gzip"],
)
def test_what_lxml_names_is_loaded_by_who_uses_it(script: str, expected: str) -> None:
    """Stand-ins are gone as soon as lxml is there, and stand for the real modules where lxml asks them."""
    whole = f"import sys\nfrom vfioctl.libvirt.etree import etree\n{script}"

    ended = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == expected
