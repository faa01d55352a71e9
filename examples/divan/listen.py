"""Listen to a room: python -m examples.divan.listen ROOM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

import aiohttp
import socketio

from examples.divan.realtime import NAMESPACE


async def listen(url: str, room: str, name: str) -> None:
    """Sign in, create the room if it is missing, join it and print its messages, until cancelled."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        client = socketio.AsyncClient(handle_sigint=False, http_session=session)

        async def signed_in() -> object:  # at every connect, because a server that was restarted may have a new secret
            async with session.post(f"{url}/auth/demo", json={"name": name}) as answer:
                signed_in = await answer.json()
            headers = {"Authorization": f"Bearer {signed_in['token']}"}
            with contextlib.suppress(aiohttp.ClientResponseError):  # 409: the room exists; 422: its name is invalid
                await session.post(f"{url}/rooms", json={"name": room}, headers=headers)
            with contextlib.suppress(aiohttp.ClientResponseError):  # `join` reports it
                await session.post(f"{url}/rooms/{room}/join", headers=headers)
            return signed_in

        async def join() -> None:  # at every connect, because a lost connection has lost its rooms
            joined = await client.call("join", {"room": room}, namespace=NAMESPACE)
            print(f"Listening to {room}; Ctrl-C ends it." if joined["ok"] else joined["error"], flush=True)
            if not joined["ok"]:
                await client.disconnect()

        async def show(message: dict[str, object]) -> None:
            print(f"{message['sender']}: {message['text']}", flush=True)

        client.on("connect", join, namespace=NAMESPACE)
        client.on("message", show, namespace=NAMESPACE)
        try:
            # Several workers may serve this URL, and each knows only its own long polls.
            await client.connect(url, namespaces=[NAMESPACE], auth=signed_in, transports=["websocket"])
            await client.wait()
        finally:
            await client.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.divan.listen", description="Listen to a room of Divan.")
    parser.add_argument("room")
    parser.add_argument("--name", default="listener", help="whom to sign in as")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where Divan is served")
    chosen = parser.parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(listen(chosen.url, chosen.room, chosen.name))
    except (aiohttp.ClientError, socketio.exceptions.ConnectionError) as error:
        sys.exit(f"{chosen.url} cannot be reached as Divan: {error}")


if __name__ == "__main__":
    main()
