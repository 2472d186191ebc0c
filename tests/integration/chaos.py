"""A TCP proxy that treats connections as a bad network does: delay, stall, reset, slow drip, flipped bits."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"


class ChaosProxy:
    """Forwards connections to `upstream` on this machine; its attributes may be changed at any time."""

    def __init__(self, upstream: int, seed: int = 1) -> None:
        self.delay_s = 0.0
        """Before each piece of data goes on."""
        self.drip_bytes: int | None = None
        """Forward this many bytes at a time, 100 times a second."""
        self.flip_rate = 0.0
        """Probability that a byte has one bit flipped."""
        self.stalled = False
        """Nothing goes through, nothing is closed: the half-open link after a cable was pulled."""
        self.port = 0
        self._upstream = upstream
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.reset()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def reset(self) -> None:
        """Tear every connection down with RST, on both sides."""
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        for writer in list(self._writers):
            with contextlib.suppress(OSError):  # it is gone already
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, HOST, 0)

    async def _serve(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far, far_out = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            near_out.close()
            return
        self._writers |= {near_out, far_out}
        ways = ((near, near_out, far_out), (far, far_out, near_out))
        pumps = [asyncio.ensure_future(self._pump(*way)) for way in ways]
        with contextlib.suppress(
            asyncio.CancelledError
        ):  # asyncio's streams log a server task that is cancelled
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        self._writers -= {near_out, far_out}
        for writer in (near_out, far_out):
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, origin: asyncio.StreamWriter, out: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self.drip_bytes or 65536):
                await asyncio.sleep(0.01 if self.drip_bytes else self.delay_s)
                if self.stalled:
                    while self.stalled:
                        await asyncio.sleep(0.01)
                    if origin.is_closing():
                        return  # the sender reset meanwhile: what it had sent never left its machine
                out.write(self._flip(data) if self.flip_rate else data)
                await out.drain()

    def _flip(self, data: bytes) -> bytes:
        return bytes(
            byte ^ (1 << self._random.randrange(8)) if self._random.random() < self.flip_rate else byte
            for byte in data
        )
