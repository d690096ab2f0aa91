"""What the first release promised, one test a claim; docs/seed.md is the list.

Most of it is tested in depth elsewhere. These tests hold the promises as they were
printed, against one real server where that matters.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import pytest
import yaml
from openai import OpenAI

from inference import errors
from inference.api.errors import BadRequest
from inference.api.failures import failure_of
from inference.capacity.context import ContextSpec, choose_context
from inference.management.commands.scan_models import Command as ScanCommand
from llm_manager.config.schema import Config
from llm_manager.launcher.banner import OPEN_DOOR
from registry.scan.folders import find_files
from tests.checkout import ROOT
from tests.configuration import changed
from tests.shared_server import Q4_0, Q4_1
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    import httpx

    from tests.whole_server import Server

real = [pytest.mark.e2e, pytest.mark.model]
PAGE = ROOT / "docs" / "seed.md"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}


def ask(api: httpx.Client, **members: Any) -> Any:
    """Answer a short chat."""
    body = {
        "model": Q4_0,
        "messages": [{"role": "user", "content": "Hello!"}],
        "max_tokens": 2,
        **members,
    }
    return api.post("/v1/chat/completions", json=body)


def options_of(*command: str) -> str:
    """Return what a command says of its options."""
    said = subprocess.run(
        [sys.executable, "-m", "llm_manager", *command, "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return said.stdout


# The page ---------------------------------------------------------------------


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split(" | ") for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in cells if row[0] != "claim"]


def test_every_claim_of_the_page_has_a_place_and_a_test_that_exists() -> None:
    named = set()
    for claim, place, test in rows():
        assert place, claim
        for link in re.findall(r"\]\(([^)#]+)", place):
            assert (PAGE.parent / link).exists(), f"{claim}: {link}"
        assert test, claim
        for name in re.findall(r"`([^`]+)`", test):
            path, _, function = name.rpartition("::")
            text = (ROOT / (path or "tests/test_seed.py")).read_text(encoding="utf-8")
            assert re.search(rf"def {function}\b", text), f"{claim}: {name}"
            named.add(function)
    of_claims = {*globals(), *vars(TestServer)} - {
        "test_every_claim_of_the_page_has_a_place_and_a_test_that_exists"
    }
    assert {name for name in of_claims if name.startswith("test_")} <= named


# Over HTTP ----------------------------------------------------------------------


class TestServer:
    """Claims that one real server shows."""

    pytestmark = real

    def test_the_openai_package_is_a_drop_in_client(self, server: Server) -> None:
        client = OpenAI(
            base_url=f"http://{server.host}:{server.port}/v1", api_key=server.key
        )
        response = client.chat.completions.create(
            model=f"{Q4_0}.gguf",
            messages=[{"role": "user", "content": "Hello!"}],
            temperature=0.7,
            max_tokens=4,
        )
        assert response.choices[0].message.content

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/v1/chat/completions", {"messages": [], "model": Q4_0}),
            ("POST", "/v1/completions", {"prompt": "a", "max_tokens": 1}),
            ("GET", "/v1/models", None),
            ("GET", f"/v1/models/{Q4_0}", None),
            ("POST", f"/v1/models/{Q4_0}/load", None),
            ("GET", "/health", None),
            ("GET", "/health/detailed", None),
            ("GET", "/metrics", None),
            ("GET", "/docs", None),
        ],
    )
    def test_every_endpoint_answers(
        self, api: httpx.Client, method: str, path: str, body: dict[str, Any] | None
    ) -> None:
        if body is not None:
            message = {"role": "user", "content": "a"}
            chat = (
                {"messages": [message], "max_tokens": 1} if "messages" in body else {}
            )
            body = {"model": Q4_0, **body, **chat}
        response = api.request(method, path, json=body)
        assert response.status_code == 200, response.text

    @pytest.mark.parametrize(
        "parameter",
        [
            {"model": f"{Q4_0}.gguf"},
            {"temperature": 0.0},
            {"temperature": 2.0},
            {"top_p": 0.0},
            {"top_p": 1.0},
            {"max_tokens": 1},
            {"max_tokens": -1, "stop": ["e", "a", "i", "o"]},
            {"stop": ["."]},
            {"seed": 7},
            {"presence_penalty": -2.0, "frequency_penalty": 2.0},
            {"presence_penalty": 2.0, "frequency_penalty": -2.0},
            {"logit_bias": {"5": -100, "6": 100}},
            {"tools": [WEATHER]},
            {"tools": [WEATHER], "tool_choice": "none"},
        ],
        ids=str,
    )
    def test_every_parameter_is_served(
        self, api: httpx.Client, parameter: dict[str, Any]
    ) -> None:
        response = ask(api, **parameter)
        assert response.status_code == 200, response.text

    def test_streams_are_server_sent_events_with_usage_if_asked_for(
        self, api: httpx.Client
    ) -> None:
        response = ask(api, stream=True, stream_options={"include_usage": True})
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.text.strip().split("\n\n")
        assert events[-1] == "data: [DONE]"
        assert '"usage":{' in events[-2].replace(" ", "")

    def test_n_may_be_more_than_one(self, api: httpx.Client) -> None:
        assert len(ask(api, n=3).json()["choices"]) == 3

    def test_response_format_is_used_in_generation(self, api: httpx.Client) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"enum": [7]}},
            "required": ["a"],
            "additionalProperties": False,
        }
        form = {"name": "x", "schema": schema, "strict": True}
        response = ask(
            api,
            response_format={"type": "json_schema", "json_schema": form},
            max_tokens=30,
        )
        assert response.json()["choices"][0]["message"]["content"] == '{"a": 7}'

    def test_tool_calls_have_openais_form(self, api: httpx.Client) -> None:
        choice = ask(
            api, tools=[WEATHER], tool_choice="required", max_tokens=60, temperature=0
        ).json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"

    @pytest.mark.parametrize(
        "name",
        [
            "../secret.gguf",
            "../secret",
            "..%2fsecret.gguf",
            "folder/../../secret.gguf",
            "{data_dir}/secret.gguf",
            "/etc/passwd",
        ],
    )
    def test_paths_open_nothing(
        self, api: httpx.Client, data_dir: Path, name: str
    ) -> None:
        # A model that could be served lies where the paths lead.
        secret = data_dir / "secret.gguf"
        write_tiny_model("llama", secret)
        (data_dir / "models" / "folder").mkdir(exist_ok=True)
        assert str(secret) in {file.path for file in find_files([data_dir]).files}

        name = name.format(data_dir=data_dir)
        path = f"/v1/models/{quote(name, safe='')}"
        for response in (
            ask(api, model=name),
            api.post("/v1/completions", json={"model": name, "prompt": "a"}),
            api.get(path),
            api.post(f"{path}/load"),
        ):
            assert response.status_code == 404, response.text
            assert response.json()["error"]["code"] == "model_not_found"
        assert api.get(f"/v1/models/{name}").status_code == 404
        names = {model["id"] for model in api.get("/v1/models").json()["data"]}
        assert Q4_0 in names
        assert not {each for each in names if "secret" in each}

    @pytest.mark.parametrize(
        ("contents", "code"),
        [
            (["a"] * 101, "too_many_messages"),
            (["a" * (100 * 1024 + 1)], "message_too_long"),
            (["a" * (100 * 1024)] * 11, "content_too_long"),
        ],
    )
    def test_sizes_are_limited(
        self, api: httpx.Client, contents: list[str], code: str
    ) -> None:
        messages = [{"role": "user", "content": content} for content in contents]
        response = ask(api, messages=messages)
        assert (response.status_code, response.json()["error"]["code"]) == (400, code)

    def test_requests_are_independent_of_each_other(self, api: httpx.Client) -> None:
        secret = [{"role": "user", "content": "The password is tulip. Say it."}]
        plain = [{"role": "user", "content": "What is the password?"}]
        fixed: dict[str, Any] = {"temperature": 0, "max_tokens": 6}
        before = ask(api, messages=plain, **fixed).json()
        ask(api, messages=secret, **fixed)
        after = ask(api, messages=plain, **fixed).json()
        assert before["choices"] == after["choices"]
        assert before["usage"]["prompt_tokens"] == after["usage"]["prompt_tokens"]

    def test_metrics_have_their_names(self, api: httpx.Client) -> None:
        assert ask(api).status_code == 200
        text = api.get("/metrics").text
        for name in (
            "llm_requests_total",
            "llm_request_duration_seconds",
            "llm_tokens_input_total",
            "llm_tokens_output_total",
            "llm_model_load_duration_seconds",
            "llm_active_models",
            "llm_context_size_bytes",
        ):
            assert re.search(rf"^{name}\S* \d", text, re.MULTILINE), name
        assert re.search(r'llm_requests_total\{.*model=.*status="200"', text)

    def test_a_model_runs_in_a_process_of_its_own(
        self, api: httpx.Client, server: Server
    ) -> None:
        assert ask(api).status_code == 200
        running = psutil.Process(server.pid).children(recursive=True)
        commands = [" ".join(process.cmdline()) for process in running]
        assert sum("inference.worker.main" in command for command in commands) >= 1

    def test_tokens_are_counted_exactly(self, api: httpx.Client) -> None:
        body = {"model": Q4_0, "prompt": "Once upon a time", "max_tokens": 1}
        used = api.post("/v1/completions", json=body).json()["usage"]["prompt_tokens"]
        text = {"model": Q4_0, "prompt": "Once upon a time"}
        assert api.post("/v1/tokenize", json=text).json()["count"] == used

    @pytest.mark.long
    def test_models_are_switched_without_a_restart(self, api: httpx.Client) -> None:
        for model in (Q4_0, Q4_1, Q4_0):
            assert ask(api, model=model).status_code == 200
        path = f"/v1/models/{Q4_0}/unload"
        assert api.post(path).status_code == 200

    def test_models_are_listed_with_what_they_can_do(self, api: httpx.Client) -> None:
        models = {each["id"]: each for each in api.get("/v1/models").json()["data"]}
        assert models[Q4_0]["context"]["trained"] == 8192
        assert "chat" in models[Q4_0]["capabilities"]


# In a process ---------------------------------------------------------------------


def test_xml_tool_calls_are_parsed() -> None:
    from tests.inference.output_parsers.answers import parse

    text = (
        '<tool_call>\n{"name": "get_weather", "arguments": {"location": "Paris"}}\n'
        "</tool_call>"
    )
    answer = parse("hermes", text)
    assert answer.calls == [("get_weather", '{"location": "Paris"}')]


def test_the_context_grows_with_the_conversation() -> None:
    spec = ContextSpec(default_ctx=8192, most_sequences=4, trained=32_768)
    plan = choose_context(spec, lambda cache: cache.cells_per_stream, 10**9)
    assert (plan.n_ctx, plan.n_ctx_max) == (8192, 32_768)


def test_only_gguf_files_are_models(tmp_path: Path) -> None:
    for name in ("model.gguf", "model.bin", "model.gguf.txt", "weights.safetensors"):
        (tmp_path / name).touch()
    found = find_files([tmp_path])
    assert [Path(file.path).name for file in found.files] == ["model.gguf"]


def test_links_out_of_the_models_directory_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.gguf").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    assert find_files([tmp_path / "models"]).files == []


@pytest.mark.parametrize("error", [errors.QueueFull, errors.QueueTimeout])
def test_overload_and_long_waits_are_503_with_retry_after(
    error: type[errors.InferenceError],
) -> None:
    failure = failure_of(error("Full.", retry_after=3))
    assert (failure.status, failure.headers["Retry-After"]) == (503, "3")


def test_an_answer_that_takes_too_long_is_408() -> None:
    assert failure_of(errors.RequestTimeout("Too slow.")).status == 408


def test_requests_at_once_are_bounded() -> None:
    engine = Config().engine
    assert (engine.n_seq_max, engine.queue_size, engine.max_waiting) == (32, 256, 1024)


def test_injection_patterns_can_be_blocked(settings: Any) -> None:
    from inference.api.body.blocked_patterns import check_patterns

    attacks = ["<script>alert(1)</script>", "JavaScript:alert(1)"]
    for attack in attacks:
        check_patterns({"messages[0]": attack})
    both = ("<script>", "javascript:")
    settings.CONFIG = changed(settings.CONFIG, limits__blocked_patterns=both)
    for attack in attacks:
        with pytest.raises(BadRequest, match="refuses"):
            check_patterns({"messages[0]": attack})


def test_the_rate_limit_is_60_a_minute_and_programs_may_change_it() -> None:
    from accounts.limits.default_limit import set_default_limit
    from llm_manager.server.rate_limiter import get_rate_limiter

    server = Config().server
    assert (server.rate_limit, server.rate_limit_window) == (60, 60)
    try:
        limiter = get_rate_limiter(requests_per_minute=100)
        assert (limiter.requests, limiter.window_s) == (100, 60)
    finally:
        set_default_limit(None)


def test_any_key_is_taken_where_none_is_required(settings: Any) -> None:
    from django.test import RequestFactory
    from rest_framework.request import Request

    from accounts.keys.authentication import BearerAuthentication

    settings.AUTH_REQUIRED = False
    headers = {"Authorization": "Bearer not-needed"}
    request = Request(RequestFactory().get("/", headers=headers))
    assert BearerAuthentication().authenticate(request) is None
    assert "any text" in OPEN_DOOR


def test_the_configuration_file_works_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_manager.config.reading import load_config

    printed = re.search(r"```yaml\n(models:.*?)```", PAGE.read_text(), re.DOTALL)
    assert printed is not None
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG", "DATA_DIR"):
        monkeypatch.delenv(f"LLM_MANAGER_{name}", raising=False)
    (tmp_path / "llm_manager.yaml").write_text(printed[1])
    config = load_config()
    said = yaml.safe_load(printed[1])
    assert config.models_dir == tmp_path / "models"
    assert config.cache_dir == tmp_path / "cache"
    for section, keys in said.items():
        for key, value in keys.items():
            own = getattr(getattr(config, section), key)
            if key != "dir":
                assert (list(own) if isinstance(own, tuple) else own) == value, key


def test_the_server_starts_with_the_printed_options() -> None:
    said = options_of("server")
    for option in ("--port", "--host", "--models-dir"):
        assert option in said
    assert "--port" in options_of()


def test_the_scanner_has_its_printed_options() -> None:
    said = ScanCommand().create_parser("llm-manager", "scan").format_help()
    for option in ("PATH", "--test-context", "--kv-quant", "--resume"):
        assert option in said


def test_importing_the_package_starts_nothing() -> None:
    code = "import llm_manager, sys; print(*[m for m in sys.modules if 'django' in m])"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == ""


SNIPPETS = {
    "direct": """
from llm_manager import LLMManager

# Initialize with GPU support
manager = LLMManager(models_dir="./models")

# Load model
manager.load_model(
    "model.gguf",
    config={
        "n_ctx": 4096,
        "n_gpu_layers": -1  # All layers on GPU
    }
)

# Generate
response = manager.generate(
    messages=[{"role": "user", "content": "Hello!"}],
    max_tokens=256,
    temperature=0.7
)

print(response["choices"][0]["message"]["content"])

# Cleanup
manager.unload_model()
""",
    "async": """
import asyncio
from llm_manager import LLMManager

async def main():
    manager = LLMManager(models_dir="./models")
    await manager.load_model_async("model.gguf")
    
    response = await manager.generate_async(
        messages=[{"role": "user", "content": "Hello!"}],
        max_tokens=256
    )
    print(response["choices"][0]["message"]["content"])
    
    manager.unload_model()

asyncio.run(main())
""",  # noqa: W293
}


@pytest.mark.model
@pytest.mark.long
@pytest.mark.parametrize("name", SNIPPETS)
def test_the_python_snippets_run_as_printed(
    name: str, tmp_path: Path, sample_model_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(sample_model_path, tmp_path / "models" / "model.gguf")
    (tmp_path / "snippet.py").write_text(SNIPPETS[name])
    done = subprocess.run(
        [sys.executable, "snippet.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_several_workers_may_serve_a_model() -> None:
    assert Config.model_validate({"engine": {"replicas": 3}}).engine.replicas == 3


def test_the_examples_have_their_names() -> None:
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names >= {
        "01_basic_generation.py",
        "02_chat_completion.py",
        "03_openai_server.py",
        "04_streaming_generation.py",
        "05_async_generation.py",
        "06_batch_processing.py",
        "07_embeddings.py",
        "08_model_switching.py",
        "09_tool_calling.py",
        "10_subprocess_mode.py",
        "11_concurrent_http.py",
        "12_model_comparison.py",
        "run_all_examples.py",
    }


def test_types_are_strict_and_the_licence_is_mit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["mypy"]["strict"] is True
    assert "MIT License" in (ROOT / "LICENSE").read_text()
