"""A hundred clients of one key at once, against each kind of limit, for real."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.postgresql import running_postgresql
from tests.whole_server import SAMPLE, put_models, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.whole_server import Server

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.model]

MODEL = f"{SAMPLE}.Q4_0"
CLIENTS = 100
#: Token ids are counted, not estimated: what is reserved is never too little.
PROMPT = list(range(100, 110))
MAX_TOKENS = 6
#: Money for a million tokens of prompt and of answer.
PRICES = {"input_price": 1000, "output_price": 3000}
_MAKE = """
import sys, django
django.setup()
from decimal import Decimal
from accounts.models import Limit, Scope
from accounts.services import api_key_create
from django.contrib.auth.models import User
from registry.models import Model
kind, amount = sys.argv[1:]
Model.objects.update(input_price={input_price}, output_price={output_price})
rate = int(amount) if kind == "requests_minute" else 0
key, secret = api_key_create(
    name=kind,
    owner=User.objects.first(),
    scopes=[Scope.INFERENCE],
    models=None,
    rate_limit=rate,
)
if not rate:
    Limit.objects.create(key=key, kind=kind, amount=Decimal(amount))
print(secret)
""".format(**PRICES)


@dataclass(frozen=True)
class Answer:
    """An answer, and when its first and its last byte came."""

    status: int
    began: float
    ended: float
    tokens: int = 0
    cost: float = 0.0
    code: str = ""


class Site:
    """A running server, and the keys for it."""

    def __init__(self, server: Server, environment: dict[str, str]) -> None:
        self._server = server
        self._environment = environment

    def key(self, kind: str, amount: float) -> str:
        """Make a key with one limit; return its secret."""
        made = subprocess.run(
            [sys.executable, "-c", _MAKE, kind, str(amount)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return made.stdout.strip().splitlines()[-1]

    async def ask(self, key: str, max_tokens: int = MAX_TOKENS) -> Answer:
        """Send a request by a connection of its own: it may meet any web process."""
        async with (
            httpx.AsyncClient(
                base_url=f"http://{self._server.host}:{self._server.port}",
                headers={"Authorization": f"Bearer {key}"},
                timeout=300,
                trust_env=False,
            ) as api,
            api.stream(
                "POST",
                "/v1/completions",
                json={
                    "model": MODEL,
                    "prompt": PROMPT,
                    "max_tokens": max_tokens,
                    "ignore_eos": True,
                },
            ) as response,
        ):
            began = time.monotonic()
            await response.aread()
            ended = time.monotonic()
        if response.status_code != 200:
            error = response.json()["error"]
            return Answer(response.status_code, began, ended, code=error["code"])
        usage = response.json()["usage"]
        prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
        cost = prompt * PRICES["input_price"] + output * PRICES["output_price"]
        return Answer(200, began, ended, prompt + output, cost / 1_000_000)

    async def introduce(self, key: str) -> None:
        """Let every web process see a key: new ones take turns. It costs no limit."""
        for _ in range(30):
            async with httpx.AsyncClient(timeout=60, trust_env=False) as api:
                response = await api.get(
                    f"http://{self._server.host}:{self._server.port}/v1/models",
                    headers={"Authorization": f"Bearer {key}"},
                )
                assert response.status_code == 200

    async def ask_at_once(self, key: str, max_tokens: int = MAX_TOKENS) -> list[Answer]:
        """Send a hundred requests at once."""
        await self.introduce(key)
        asked = [self.ask(key, max_tokens) for _ in range(CLIENTS)]
        return list(await asyncio.gather(*asked))


@pytest.fixture(
    scope="module",
    params=[("sqlite", 1), ("postgresql", 3)],
    ids=lambda param: f"{param[0]}-{param[1]}-web",
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A server with this database and number of web processes."""
    database, web = request.param
    folder: Path = tmp_path_factory.mktemp("limits")
    put_models(folder / "models")
    settings = {
        "DJANGO_SETTINGS_MODULE": "llm_manager.settings",
        "LLM_MANAGER_SERVER_WORKERS": str(web),
        "LLM_MANAGER_MODELS_DEFAULT_CTX": "256",
        "LLM_MANAGER_ENGINE_QUEUE_SIZE": "200",
    }

    def serve() -> Iterator[Site]:
        with running(folder, **settings) as server:
            environment = {
                **{
                    name: value for name, value in os.environ.items() if _is_plain(name)
                },
                **settings,
                "LLM_MANAGER_DATA_DIR": str(folder),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
            site = Site(server, environment)
            # Loads the model.
            assert asyncio.run(site.ask(server.key)).status == 200
            yield site

    if database == "sqlite":
        yield from serve()
        return
    with running_postgresql("limits") as url:
        settings["DATABASE_URL"] = url.format("limits")
        yield from serve()


def _is_plain(name: str) -> bool:
    """Return whether a variable is not about this test run's own server."""
    own = ("DATABASE_URL", "TEST_DATABASE_URL", "REDIS_URL")
    return not name.startswith("LLM_MANAGER_") and name not in own


def _split(answers: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    good = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(good) + len(refused) == len(answers), {a.code for a in answers}
    return good, refused


async def test_sixty_requests_a_minute_and_what_refills(site: Site) -> None:
    key = site.key("requests_minute", 60)
    await site.introduce(key)
    started = time.monotonic()

    answers = await site.ask_at_once(key, max_tokens=1)

    good, refused = _split(answers)
    # The last refusal came after the last request was admitted or refused.
    asking_s = max(answer.began for answer in answers) - started
    logger.info("%s", f"{len(good)} of {CLIENTS} in {asking_s:.1f} s")
    assert 60 <= len(good) <= 60 + math.floor(asking_s)
    assert {answer.code for answer in refused} <= {"rate_limit_exceeded"}


async def test_five_requests_at_once(site: Site) -> None:
    key = site.key("parallel", 5)

    good, refused = _split(await site.ask_at_once(key, max_tokens=20))
    again = await asyncio.gather(*(site.ask(key) for _ in range(5)))

    # A request has its place from before its first byte to after its last one.
    most = max(
        sum(other.began <= answer.began < other.ended for other in good)
        for answer in good
    )
    logger.info("%s", f"{len(good)} answered, {most} at once, {len(refused)} refused")
    assert 5 <= len(good) < CLIENTS
    assert most <= 5
    assert [answer.status for answer in again] == [200] * 5


@pytest.mark.parametrize(
    ("kind", "amount", "used", "code"),
    [
        ("tokens_day", 500, lambda answer: answer.tokens, "insufficient_quota"),
        ("money_month", 0.75, lambda answer: answer.cost, "insufficient_quota"),
    ],
)
async def test_a_budget_is_used_up_and_not_exceeded(
    site: Site,
    kind: str,
    amount: float,
    used: Callable[[Answer], float],
    code: str,
) -> None:
    key = site.key(kind, amount)

    first = await site.ask_at_once(key)
    second = await site.ask_at_once(key)

    good, refused = _split([*first, *second])
    total = sum(map(used, good))
    one = used(good[0])
    logger.info("%s", f"{total:g} of {amount:g} used, {one:g} each")
    assert amount - one < total <= amount
    assert {answer.code for answer in refused} == {code}


async def test_tokens_a_minute_and_what_refills(site: Site) -> None:
    key = site.key("tokens_minute", 600)
    await site.introduce(key)
    started = time.monotonic()

    answers = await site.ask_at_once(key)

    good, _ = _split(answers)
    total = sum(answer.tokens for answer in good)
    one = len(PROMPT) + MAX_TOKENS
    asking_s = max(answer.ended for answer in answers) - started
    logger.info("%s", f"{total} of 600 tokens in {asking_s:.1f} s")
    assert 600 - one < total <= 600 + 10 * asking_s
