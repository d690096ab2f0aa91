"""Redis behind Sentinels: its URL, and a fail-over of real servers."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from channels_redis.core import RedisChannelLayer
from redis.asyncio import Redis
from redis.exceptions import RedisError

from benchmarks.nodes.failing_over import FailingOver
from benchmarks.systems.system import free_port
from inference.transport.queue import put, take
from llm_manager.config.network_silence import cache_options, redis_host
from llm_manager.lib.redis.cache import CountedRedisCache
from llm_manager.lib.redis.clients import make_client
from llm_manager.lib.redis.pubsub import PatientPubSubLayer
from llm_manager.lib.redis.sentinel import MasterPool, is_sentinel, parse_sentinel_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_WAIT_S = 60.0


def test_a_url_names_sentinels_and_their_name_for_the_master() -> None:
    said = parse_sentinel_url(
        "redis+sentinel://me:p%40ss@one:1,[::2]:2,three/main?db=4&sentinel_password=x"
    )
    assert said.sentinels == (("one", 1), ("::2", 2), ("three", 26379))
    assert said.master == "main"
    assert said.options == {"username": "me", "password": "p@ss", "db": 4}
    assert said.sentinel_options == {"password": "x"}
    assert said.tls is None
    assert parse_sentinel_url("rediss+sentinel://one/main").tls == {}
    assert not is_sentinel("redis://one:6379/0")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one",
        "redis+sentinel:///main",
        "redis+sentinel://one/main/0",
        "redis+sentinel://one/main?db=many",
        "redis+sentinel://one/main?colour=red",
        "redis+sentinel://one/main?ssl_ca_certs=ca.pem",
        "redis+sentinel://one:port/main",
    ],
)
def test_a_url_without_one_of_them_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        parse_sentinel_url(url)


def test_an_error_does_not_quote_a_password() -> None:
    with pytest.raises(ValueError, match="sentinel_pasword") as refused:
        parse_sentinel_url("redis+sentinel://one/main?sentinel_pasword=xyzzy")
    assert "xyzzy" not in str(refused.value)


def test_a_password_of_redis_is_not_shown_to_sentinels() -> None:
    pool = MasterPool.from_url("redis+sentinel://:secret@one/main", socket_timeout=1)
    assert pool.connection_kwargs["password"] == "secret"
    (sentinel,) = pool.sentinel_manager.sentinels
    assert sentinel.connection_pool.connection_kwargs["password"] is None


def make_certificate(openssl: str, folder: Path) -> None:
    """Write ca.pem and key.pem."""
    made = ("-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem")
    name = ("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1")
    command = [openssl, "req", "-x509", *made, *name]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


async def test_sentinels_are_asked_with_tls_as_redis_is(tmp_path: Path) -> None:
    # The one that comes as a package of Python has no TLS.
    server, openssl = (
        shutil.which("redis-server", path=os.defpath),
        shutil.which("openssl"),
    )
    if server is None or openssl is None:
        pytest.skip("no redis-server, or no openssl")
    make_certificate(openssl, tmp_path)
    port = free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"tls-port {port}\nport 0\ntls-auth-clients no\ntls-cert-file ca.pem\n"
        "tls-key-file key.pem\ntls-ca-cert-file ca.pem\nprotected-mode no\n"
        "sentinel monitor main 127.0.0.1 1 1\n"
    )
    process = await asyncio.create_subprocess_exec(
        server, "sentinel.conf", "--sentinel", cwd=tmp_path, stdout=DEVNULL
    )
    url = f"rediss+sentinel://127.0.0.1:{port}/main?ssl_ca_certs={tmp_path}/ca.pem"
    host = redis_host(url)
    other = Redis(host="127.0.0.1", port=port, **host["sentinel_kwargs"])
    pool = MasterPool.from_url(url, socket_timeout=1)
    (sentinel,) = pool.sentinel_manager.sentinels
    try:

        async def both_answer() -> bool:
            if process.returncode is not None:
                pytest.skip("this Redis has no TLS")
            return bool(await other.ping() and await sync_to_async(sentinel.ping)())

        await eventually(both_answer)
    finally:
        sentinel.close()
        await other.aclose()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert host["ssl_ca_certs"] == pool.connection_kwargs["ssl_ca_certs"]


async def test_cache_queues_and_channels_go_on_with_the_new_master(
    tmp_path: Path,
) -> None:
    servers = FailingOver("127.0.0.1", tmp_path)
    try:
        await servers.start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    host = redis_host(servers.url)
    cache = CountedRedisCache([servers.url], {"OPTIONS": cache_options(servers.url)})
    queue = RedisChannelLayer(hosts=[host])
    replies = PatientPubSubLayer(hosts=[host])
    channel = await replies.new_channel("reply.")
    received: set[int] = set()

    async def receive() -> None:
        # A receiver that is cancelled would end the subscription.
        while True:
            received.add((await replies.receive(channel))["number"])

    async def use_all(number: int) -> bool:
        await sync_to_async(cache.set)("number", number)
        await put(queue, "q", {"number": number}, time.time())
        taken = (await take(queue, "q"))["number"]
        await replies.send(channel, {"number": number})
        found = await sync_to_async(cache.get)("number")
        return taken == found == number and number in received

    client = make_client(servers.url)
    receiving = asyncio.create_task(receive())
    try:
        await eventually(lambda: use_all(1))
        await servers.fail()
        await eventually(lambda: use_all(2))
        now: Any = client.info("server")
        assert now["tcp_port"] == servers.replica.port
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        shard = replies._get_layer()._shards[0]
        pools = [queue.connection(0).connection_pool, shard._redis.connection_pool]
        await queue.close_pools()
        await replies.flush()
        for pool in pools:
            for sentinel in pool.sentinel_manager.sentinels:
                await sentinel.aclose()
        for user in (client, cache._cache.get_client()):
            user.connection_pool.disconnect()
            manager: Any = user.connection_pool
            for known in manager.sentinel_manager.sentinels:
                known.close()
        await servers.kill()


async def eventually(attempt: Callable[[], Awaitable[bool]]) -> None:
    """Return once it succeeds; what fails is tried again."""
    async with asyncio.timeout(_WAIT_S):
        while True:
            with suppress(OSError, RedisError):
                if await attempt():
                    return
            await asyncio.sleep(0.1)
