"""Hostile files: nothing expanded, nothing fetched, nothing that takes long."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.libvirt.domains import FULL, MINIMAL, domain
from vfioctl.errors import NotFoundError, NotPermittedError, UsageError, VfioctlError
from vfioctl.libvirt.facts import parse_tree
from vfioctl.libvirt.insertion import device_spans
from vfioctl.libvirt.source import MAX_SIZE, parse_source, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAUGHS = "".join(
    f"<!ENTITY l{n} '{'&l' + str(n - 1) + ';' if n else 'ha'}{('&l' + str(n - 1) + ';') * 9 if n else ''}'>"
    for n in range(10)
)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port of the loopback interface, and keep who calls."""
    calls: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    caller, _ = server.accept()
                except TimeoutError:
                    continue
                calls.append(b"called")
                caller.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], calls
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "doctype",
    [
        f"<!DOCTYPE domain [{LAUGHS}]>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'http://127.0.0.1:%d/'>]>",
        "<!DOCTYPE domain SYSTEM 'http://127.0.0.1:%d/domain.dtd'>",
        "<!DOCTYPE domain PUBLIC 'a' 'http://127.0.0.1:%d/domain.dtd'>",
        "<!DOCTYPE domain [<!ENTITY % x SYSTEM 'http://127.0.0.1:%d/'> %x;]>",
        "<!DOCTYPE domain>",
    ],
    ids=["laughs", "file", "http", "dtd", "public", "parameter", "empty"],
)
def test_a_document_type_is_refused_before_anything_is_expanded(
    doctype: str, listener: tuple[int, list[bytes]]
) -> None:
    """The only way to entities: nothing is fetched, and memory stays where it is."""
    port, calls = listener
    text = doctype.replace("%d", str(port)) + MINIMAL.replace("web1", "&x;&l9;")

    with pytest.raises(UsageError, match="document type"):
        parse_source("vm.xml", text.encode())

    assert calls == []


def test_the_second_parser_fetches_nothing_either(listener: tuple[int, list[bytes]]) -> None:
    """XInclude, stylesheets and schema locations are text like any other."""
    port, calls = listener
    url = f"http://127.0.0.1:{port}/"
    text = f"<?xml-stylesheet href='{url}'?>" + MINIMAL.replace(
        "<devices>",
        f"<metadata><x:include xmlns:x='http://www.w3.org/2001/XInclude' href='{url}'/></metadata><devices>",
    )

    tree = parse_tree(parse_source("vm.xml", text.encode()))

    assert tree.tag == "domain"
    assert calls == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MINIMAL.encode("utf-16"), "UTF-16"),
        (MINIMAL.encode("utf-16-le"), "UTF-16"),
        (MINIMAL.encode("utf-16-be"), "UTF-16"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + MINIMAL.encode(), "iso-8859-1"),
        (b"<?xml version='1.0' encoding='EBCDIC-CP-BE'?>" + MINIMAL.encode(), "ebcdic"),
        (b"<?xml version='1.0' encoding='UTF-7'?>" + MINIMAL.encode(), "utf-7"),
        (MINIMAL.replace("web1", "w\u00fcrfel").encode("latin-1"), "not XML"),
        (b"", "not XML"),
        (b"\0" * 100, "not XML"),
        (b"name = web1\n", "not XML"),
        (MINIMAL.encode()[:-10], "not XML"),
        (MINIMAL.encode() + b"<domain/>", "not XML"),
        (MINIMAL.encode().replace(b"</os>", b"</so>"), "not XML"),
        (b"<domain " + b"a='1' " * 2 + b"/>", "not XML"),
    ],
)
def test_what_is_not_utf_8_or_not_xml_is_refused(content: bytes, message: str) -> None:
    """In words, with the place."""
    with pytest.raises(UsageError, match=f"(?i){message}"):
        parse_source("vm.xml", content)


@pytest.mark.parametrize(
    "text",
    [
        "<domainsnapshot><domain/></domainsnapshot>",
        "<network/>",
        "<domain xmlns='http://example.org'/>",
        "<d:domain xmlns:d='http://example.org'/>",
        "<DOMAIN/>",
        "<domstatus state='running'><domain/></domstatus>",
    ],
)
def test_another_root_is_refused(text: str) -> None:
    """And named: somebody took the wrong file."""
    with pytest.raises(UsageError, match="not a <domain>"):
        parse_tree(parse_source("vm.xml", text.encode()))


def test_deep_nesting_is_refused() -> None:
    """A stack has an end."""
    text = MINIMAL.replace("<devices>", "<a>" * 5000 + "</a>" * 5000 + "<devices>")

    with pytest.raises(UsageError, match="cannot be parsed"):
        parse_tree(parse_source("vm.xml", text.encode()))


def test_a_large_file_is_refused_without_being_read(tmp_path: Path) -> None:
    """50 MB of it; virsh takes ten."""
    path = tmp_path / "vm.xml"
    with path.open("wb") as file:
        file.write(MINIMAL.encode())
        file.truncate(50_000_000)

    with pytest.raises(UsageError, match="larger than 10 MiB"):
        read_source(str(path))
    path.write_bytes(MINIMAL.encode() + b" " * (MAX_SIZE - len(MINIMAL)))
    assert len(read_source(str(path)).content) == MAX_SIZE


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a FIFO that nobody writes to, a device without end, nothing at all."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (str(tmp_path), str(fifo), "/dev/zero"):
        with pytest.raises(UsageError):
            read_source(path)
    with pytest.raises(NotFoundError, match="no file"):
        read_source(str(tmp_path / "none.xml"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    """Not taken for missing."""
    path = tmp_path / "vm.xml"
    path.touch(mode=0)

    with pytest.raises(NotPermittedError):
        read_source(str(path))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Never anything but an error of ours."""
    with suppress(VfioctlError):
        parse_tree(parse_source("vm.xml", content))


@pytest.mark.parametrize("text", [MINIMAL, FULL, domain("<a/><b></b><c x='/>'></c><d>/></d><e><!--/--></e>")])
def test_spans_are_the_elements_that_stand_there(text: str) -> None:
    """What two parsers say of one file agrees: start, end and order of every device."""
    source = parse_source("vm.xml", text.encode())
    tree = parse_tree(source)

    found = device_spans(source, tree)

    assert len(found) == len([node for node in tree.iterfind("devices/*") if isinstance(node.tag, str)])
    for span, node in found:
        written = source.content[span.start : span.end]
        assert etree.canonicalize(written.decode()) == etree.canonicalize(
            etree.tostring(node, with_tail=False, encoding="unicode")
        )
        assert (span.inside is None) == written.endswith(b"/>")
