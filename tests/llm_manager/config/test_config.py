"""The configuration: the file, the environment, and the errors of both."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

import llm_manager.settings as django_settings
from llm_manager.config import reading
from llm_manager.config.reading import ConfigError
from llm_manager.config.schema import KEYS, Config
from llm_manager.config.variables import environment_name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a configuration."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_config(environ: dict[str, str]) -> Config:
    with patch.dict(os.environ, environ, clear=True):
        return reading.load_config()


def value_of(config: Config, key: str) -> Any:
    """Return a key's value as the file would have it: by the key's own name."""
    value: Any = config
    for part in key.split("."):
        names = {
            field.validation_alias or name: name
            for name, field in type(value).model_fields.items()
        }
        value = getattr(value, names[part])
    return value


def load(text: str, folder: Path, **environ: str) -> Config:
    (folder / "llm_manager.yaml").write_text(text, encoding="utf-8")
    return load_config(environ)


def refusal(text: str, folder: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, folder, **environ)
    return str(caught.value)


def test_everything_has_a_default(folder: Path) -> None:
    config = load_config({})
    assert config.server.port == 8000
    assert config.data_dir == folder / "data"
    assert config.models_dir == folder / "data" / "models"


def test_file_in_the_working_directory_is_read(folder: Path) -> None:
    config = load("server:\n  port: 9000\n  cors_origins: ['*']\n", folder)
    assert config.server.port == 9000
    assert config.server.cors_origins == ("*",)
    assert config.server.host == "127.0.0.1"


def test_environment_beats_the_file(folder: Path) -> None:
    config = load("server: {port: 9000}\n", folder, LLM_MANAGER_SERVER_PORT="9001")
    assert config.server.port == 9001


def test_empty_variable_counts_for_nothing(folder: Path) -> None:
    config = load("server: {port: 9000}\n", folder, LLM_MANAGER_SERVER_PORT="")
    assert config.server.port == 9000


def test_named_file_is_read(folder: Path) -> None:
    (folder / "other.yaml").write_text("models: {dir: /models}\n", encoding="utf-8")
    config = load_config({"LLM_MANAGER_CONFIG": "other.yaml"})
    assert config.models_dir == Path("/models")


def test_empty_file_sets_nothing(folder: Path) -> None:
    assert load("# nothing\n", folder) == load_config({})


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("REDIS_URL", "redis.url"),
        ("LLM_MANAGER_REDIS_URL", "redis.url"),
        ("DATABASE_URL", "database.url"),
    ],
)
def test_urls_have_their_usual_names(folder: Path, variable: str, key: str) -> None:
    config = load_config({variable: "scheme://somewhere/1"})
    assert value_of(config, key) == "scheme://somewhere/1"


def test_own_name_beats_the_usual_one(folder: Path) -> None:
    config = load_config(
        {"REDIS_URL": "redis://a", "LLM_MANAGER_REDIS_URL": "redis://b"}
    )
    assert config.redis.url == "redis://b"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("server.cors_origins", "https://a, https://b ,", ("https://a", "https://b")),
        ("auth.required", "False", False),
        ("auth.required", "1", True),
        ("generation.top_p", "1", 1.0),
        ("logging.level", "DEBUG", "debug"),
        ("gpu.kv_cache_type", "Q8_0", "q8_0"),
        ("gpu.n_gpu_layers", "-1", -1),
        ("redis.url", "redis://:secret@host/0", "redis://:secret@host/0"),
    ],
)
def test_variable_is_read_as_its_keys_type(
    folder: Path, key: str, text: str, value: Any
) -> None:
    found = value_of(load_config({environment_name(key): text}), key)
    assert found == value
    assert type(found) is type(value)


def test_unknown_key_names_file_line_and_nearest_key(folder: Path) -> None:
    text = "models:\n  dir: ./models\nserver:\n  prot: 1\n"
    assert refusal(text, folder) == (
        "llm_manager.yaml, line 4: unknown key server.prot; did you mean server.port?"
    )


def test_key_in_the_wrong_section_finds_its_own(folder: Path) -> None:
    assert refusal("models: {kv_cache_type: f16}\n", folder) == (
        "llm_manager.yaml, line 1: unknown key models.kv_cache_type; "
        "did you mean gpu.kv_cache_type?"
    )


def test_key_like_no_other_gets_no_suggestion(folder: Path) -> None:
    assert refusal("zzz: 1\n", folder) == "llm_manager.yaml, line 1: unknown key zzz."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("server: {port: http}", "server.port must be a whole number, not 'http'."),
        ("server: {port: 8000.5}", "server.port must be a whole number, not 8000.5."),
        ("server: {port: true}", "server.port must be a whole number, not True."),
        ("server: {port: null}", "server.port must be a whole number, not None."),
        ("server: {port: 0}", "server.port must be at least 1."),
        ("server: {port: 65536}", "server.port must be at most 65535."),
        ("server: {host: 1}", "server.host must be text, not 1."),
        (
            "server: {cors_origins: '*'}",
            "server.cors_origins must be a list, not '*'.",
        ),
        (
            "server: {cors_origins: [1]}",
            "server.cors_origins[0] must be text, not 1.",
        ),
        (
            "generation: {temperature: .nan}",
            "generation.temperature must be a number, not nan.",
        ),
        ("generation: {top_p: 1.1}", "generation.top_p must be at most 1."),
        (
            "auth: {required: 'no way'}",
            "auth.required must be true or false, not 'no way'.",
        ),
        (
            "gpu: {kv_cache_type: q3}",
            "gpu.kv_cache_type must be one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, "
            "q4_0.",
        ),
        ("server: 1", "server must hold keys and values."),
        ("[1, 2]", "the file must hold keys and values."),
        ("server: {port: 1, port: 2}", "server.port is set twice."),
        ("server: {port: 1}\nserver: {port: 1}", None),
        ("server: {host: !!python/name:os.system x}", None),
        ("server: {host: 2001-99-99}", None),
        ("server: {", None),
        ("\tx: 1", None),
        ("server: {host: \x07}", None),
        ("a: 1\n---\nb: 2", None),
    ],
)
def test_bad_value_is_one_sentence_with_its_line(
    folder: Path, text: str, reason: str | None
) -> None:
    said = refusal(text, folder)
    assert "\n" not in said
    assert said.startswith("llm_manager.yaml")
    if reason is not None:
        assert said == f"llm_manager.yaml, line 1: {reason}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "gpu: {kv_cache_type_v: q8_0, flash_attention: off}",
            "gpu.kv_cache_type_v: V can be q8_0 only with flash attention, which is "
            "off.",
        ),
        (
            "engine: {n_ubatch: 1024}",
            "engine.n_ubatch: A micro-batch of 1024 tokens is larger than the batch "
            "of 512.",
        ),
        (
            "engine: {n_seq_max: 64, n_batch: 32, n_ubatch: 32}",
            "engine.n_seq_max: A batch of 32 tokens is too small for one token of each "
            "of 64 sequences.",
        ),
        (
            "gpu: {tensor_split: half}",
            "llm_manager.yaml, line 1: gpu.tensor_split: The shares of the GPUs must "
            "be numbers, as in 3,1.",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(
    folder: Path, text: str, reason: str
) -> None:
    assert refusal(text, folder) == reason


def test_bad_variable_is_named(folder: Path) -> None:
    assert refusal("", folder, LLM_MANAGER_SERVER_PORT="http") == (
        "LLM_MANAGER_SERVER_PORT: server.port must be a whole number, not 'http'."
    )


def test_named_file_must_exist(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"LLM_MANAGER_CONFIG": "nowhere.yaml"})
    assert str(caught.value) == "nowhere.yaml: No such file or directory."


def test_file_must_be_text(folder: Path) -> None:
    (folder / "llm_manager.yaml").write_bytes(b"server: {host: \xff}")
    with pytest.raises(ConfigError, match="not a text file in UTF-8"):
        load_config({})


@pytest.mark.parametrize("text", ["on", "off"])
def test_bare_on_and_off_mean_what_they_say(folder: Path, text: str) -> None:
    """YAML reads them as booleans."""
    config = load(f"gpu: {{flash_attention: {text}}}\n", folder)
    assert config.gpu.flash_attention == text


def test_bare_off_is_off_for_drafts_too(folder: Path) -> None:
    assert load("engine: {draft: off}\n", folder).engine.draft == "off"


@pytest.mark.parametrize("key", KEYS)
def test_default_is_within_its_own_bounds(folder: Path, key: str) -> None:
    default = KEYS[key].default
    if default is None:
        return
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    config = load_config({environment_name(key): text})
    assert value_of(config, key) == value_of(load_config({}), key)


def test_an_error_in_one_key_of_several_is_that_of_the_first_line(
    folder: Path,
) -> None:
    text = "server: {port: 0}\nauth: {required: 1}\nmodels: {dirr: x}\n"
    assert refusal(text, folder) == (
        "llm_manager.yaml, line 1: server.port must be at least 1."
    )


def test_file_is_checked_even_where_a_variable_wins(folder: Path) -> None:
    said = refusal("server: {port: 0}", folder, LLM_MANAGER_SERVER_PORT="1")
    assert said == "llm_manager.yaml, line 1: server.port must be at least 1."


@pytest.mark.parametrize(
    "variable",
    [
        # Kubernetes sets it for a service `llm-manager-redis`.
        "LLM_MANAGER_REDIS_PORT_6379_TCP",
        "LLM_MANAGER_REDIS",
        "LLM_MANAGER_GPU_CACHE_TYPE_K",
    ],
)
def test_variables_of_no_key_are_ignored(folder: Path, variable: str) -> None:
    assert load_config({variable: "tcp://10.0.0.1:6379"}) == load_config({})


def test_name_of_a_column_is_no_key(folder: Path) -> None:
    said = refusal("gpu: {cache_type_k: f16}", folder)
    assert said.startswith("llm_manager.yaml, line 1: unknown key gpu.cache_type_k;")


@pytest.mark.parametrize("text", ["'3,1'", "[3, 1]"])
def test_shares_of_gpus_are_a_text_or_a_list(folder: Path, text: str) -> None:
    assert load(f"gpu: {{tensor_split: {text}}}", folder).gpu.tensor_split == (3, 1)


def test_relative_folders_are_made_absolute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load("models: {dir: m, extra_dirs: [/a, b]}", folder)
    assert config.models_dir == folder / "m"
    assert config.models.extra_dirs == (Path("/a"), folder / "b")


FIRST_RELEASE = """
models:
  dir: "./models"
  default_ctx: 8192
  use_subprocess: true

generation:
  max_tokens: 4096
  temperature: 0.7
  top_p: 0.9

gpu:
  n_gpu_layers: -1  # All layers on GPU

cache:
  enabled: true
  dir: "./cache"
  max_size_mb: 5120

server:
  port: 8000
  host: "0.0.0.0"
  workers: 1
  cors_origins: ["*"]
  rate_limit: 60  # Requests per minute per client
  rate_limit_window: 60
"""


def test_every_key_of_the_first_release_is_honoured(folder: Path) -> None:
    config = load(FIRST_RELEASE, folder)
    assert (config.models_dir, config.cache_dir) == (
        folder / "models",
        folder / "cache",
    )
    assert config.cache.enabled
    assert config.server.host == "0.0.0.0"  # noqa: S104  # read, not bound
    assert config.server.cors_origins == ("*",)


def test_defaults_are_the_numbers_of_the_first_release(folder: Path) -> None:
    as_printed = load(FIRST_RELEASE, folder).model_dump()
    own = Config().model_dump()
    # What a server opens to others, or writes to disk, is off until it is asked for.
    chosen = {"models.dir", "cache.enabled", "cache.dir", "server.host"}
    chosen.add("server.cors_origins")
    differ = {
        f"{section}.{name}"
        for section in ("models", "generation", "gpu", "cache", "server")
        for name, value in as_printed[section].items()
        if value != own[section][name]
    }
    assert differ == chosen


def test_a_server_refuses_to_run_models_in_its_own_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MANAGER_MODELS_USE_SUBPROCESS", "false")
    assert not reading.load_config().models.use_subprocess
    with pytest.raises(ImproperlyConfigured, match=r"Python API only"):
        runpy.run_path(django_settings.__file__)


def test_no_read_of_the_settings_makes_pydantic_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[str] = []

    def search(_config: Config, name: str) -> Any:
        searched.append(name)
        raise AttributeError(name)

    monkeypatch.setattr(Config, "__getattr__", search, raising=False)
    # The first read finds the value, and only later ones look at it.
    assert settings.CONFIG is settings.CONFIG
    assert searched == []
