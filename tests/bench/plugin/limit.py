"""The physical limit: a method that takes nothing and answers nothing, in the same library."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from grpc.aio import ServicerContext


async def nothing(_request: bytes, _context: ServicerContext[Any, Any]) -> bytes:
    """Answer with one byte field, which says that there was an answer."""
    return b"\x08\x01"


async def main(path: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    methods: dict[str, Any] = {"Allocate": grpc.unary_unary_rpc_method_handler(nothing)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", methods),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
