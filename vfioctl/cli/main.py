"""The way in, and the one place where an error becomes text and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper

from vfioctl.cli import express
from vfioctl.cli.session import Session, writing
from vfioctl.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, VfioctlError
from vfioctl.lean import suppress
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """Run the program on the process's arguments and return its exit code."""
    # Whoever replaced stdout called this from a program of its own, which goes on.
    if sys.stdout is not sys.__stdout__:
        return run(sys.argv[1:])
    # A run is short and makes few cycles: collecting them, and taking the interpreter down piece by piece,
    # would cost a fifth of the start. A command that stays (watching, serving) collects again.
    gc.disable()
    _open_streams()
    code = run(sys.argv[1:])
    _flush()
    os._exit(code)


def _open_streams() -> None:
    """Make both streams fit to be written to, whatever this process was started with."""
    if sys.__stderr__ is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the process ends
    if sys.__stdout__ is None:
        # Like a full disk: whoever closed it is told that the result goes nowhere.
        sys.stdout = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that is not UTF-8 gets escapes instead of an error.
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def run(arguments: Sequence[str], session: Session | None = None) -> int:
    """Run one command line, in a session of its own unless given one; no exception leaves it."""
    given = list(arguments)
    asked = None if session else express.understood(given, os.environ)
    session = session or (asked.session if asked else Session())
    try:
        code = express.run(asked) if asked else _through_click(given, session)
        with writing():
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _broken_pipe()
    except Exception as problem:  # noqa: BLE001 - the boundary: nothing may end in a traceback
        return _report(problem, given, session)
    return code


def _through_click(given: list[str], session: Session) -> int:
    from vfioctl.cli.wiring import invoke

    return invoke(given, session)


def _interrupted() -> int:
    # The new line closes the terminal's ^C.
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return EXIT_INTERRUPTED


def _broken_pipe() -> int:
    """Let what is still buffered go nowhere, so that the interpreter's last flush is silent as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(nowhere)
    return EXIT_BROKEN_PIPE


def _report(problem: Exception, given: list[str], session: Session) -> int:
    """Print an error in its two parts, and as a document where JSON was asked for."""
    if session.debug or "--debug" in given:
        import traceback

        from vfioctl.render.text import visible_block

        with suppress(OSError):
            sys.stderr.write(visible_block("".join(traceback.format_exception(problem))))
    error = as_vfioctl_error(problem)
    try:
        if session.output == "json" or _asks_for_json(given):
            from vfioctl.render.document import document_text, error_document

            sys.stdout.write(document_text(error_document(error)) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe()
    except OSError:
        pass  # The document is lost; the words go to stderr.
    with suppress(OSError):
        sys.stderr.write(error_text(error))
        sys.stderr.flush()
    return error.exit_code


def _asks_for_json(given: list[str]) -> bool:
    """Look for JSON in arguments that Click could not parse."""
    pairs = zip(given, [*given, ""][1:], strict=True)
    return any(
        one in {"--json", "-ojson", "--output=json"} or (one in {"-o", "--output"} and other == "json")
        for one, other in pairs
    )


def error_text(error: VfioctlError) -> str:
    """Say an error in two parts; lines after the first of a part are indented below it."""
    from vfioctl.render.text import visible_block

    parts = (("error: ", error.message), ("hint: ", error.hint))
    return "".join(
        label + visible_block(text).replace("\n", "\n" + " " * len(label)) + "\n"
        for label, text in parts
        if text
    )


def as_vfioctl_error(problem: Exception) -> VfioctlError:
    """Turn whatever was raised into an error with a hint and an exit code."""
    if isinstance(problem, VfioctlError):
        return problem
    if isinstance(problem, MemoryError):
        return VfioctlError("out of memory", hint="give fewer devices, or free some memory")
    text = str(problem)
    return VfioctlError(
        f"unexpected {type(problem).__name__}" + (f": {text}" if text else ""),
        hint="this is a fault of vfioctl; run it again with --debug and report what it prints",
    )
