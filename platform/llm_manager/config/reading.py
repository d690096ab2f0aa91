"""The typed configuration: llm_manager.yaml, then environment; the later wins.

The command line sets the environment of the processes that it starts, so it
comes last of all. Every key is declared once, in ``SCHEMA``, with its type,
default, bounds and meaning; an unknown key or a bad value names the file, the
line and the nearest known key, and nothing starts.
"""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from registry.load_settings import (
    CACHE_TYPES,
    CACHE_TYPES_V,
    CONFIG_KEYS,
    CONFIGURED_DRAFTS,
    FLASH_ATTENTION,
    KV_LAYOUTS,
    MAX_DEVICES,
    NUMA_STRATEGIES,
    POOLINGS,
    SPLIT_MODES,
    conflicts,
    settings_in_force,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENVIRONMENT_PREFIX = "LLM_MANAGER_"
#: Names that the ecosystem already has for two of the keys.
ENVIRONMENT_ALIASES = {"DATABASE_URL": "database.url", "REDIS_URL": "redis.url"}


class ConfigError(Exception):
    """A configuration that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key.

    ``kind`` is the Python type (``list`` means a list of strings). A default
    of None means "not set". ``minimum`` and ``maximum`` are inclusive.
    """

    kind: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


SCHEMA: dict[str, Key] = {
    "data_dir": Key(
        str, "./data", "Database, private Redis socket, secret key, default models."
    ),
    "models.dir": Key(str, None, "Models directory. Unset: `models` in data_dir."),
    "models.extra_dirs": Key(list, (), "Further roots that a scan walks."),
    "models.default_ctx": Key(
        int,
        4096,
        "Context of one sequence, in tokens, for a model without its own; "
        "never more than the trained context.",
        minimum=64,
    ),
    "models.use_subprocess": Key(
        bool,
        default=True,
        help="Every model runs in a process of its own; only true is possible.",
        choices=("true",),
    ),
    "generation.max_tokens": Key(
        int, 4096, "Answer length when a chat request names none.", minimum=1
    ),
    "generation.temperature": Key(
        float, 0.7, "Temperature when a request names none.", minimum=0, maximum=2
    ),
    "generation.top_p": Key(
        float, 0.9, "top_p when a request names none.", minimum=0, maximum=1
    ),
    "gpu.n_gpu_layers": Key(
        int, -1, "Layers put on the GPU; -1 is all, 0 is none.", minimum=-1
    ),
    "gpu.split_mode": Key(
        str,
        "layer",
        "How a model is spread over several GPUs: not at all, by layers or by rows.",
        choices=SPLIT_MODES,
    ),
    "gpu.tensor_split": Key(
        str, None, "Each GPU's share of a model, as in `3,1`. Unset: by free memory."
    ),
    "gpu.main_gpu": Key(
        int,
        0,
        "The GPU that the split mode `none` uses; the first is 0.",
        minimum=0,
        maximum=MAX_DEVICES - 1,
    ),
    "gpu.kv_cache_type": Key(
        str, "f16", "Type of the KV cache's cells.", choices=CACHE_TYPES
    ),
    "gpu.kv_cache_type_v": Key(
        str,
        "auto",
        "Type of V's cells; a quantised one needs flash attention. `auto`: as "
        "`gpu.kv_cache_type`, or f16 if that is quantised without flash attention.",
        choices=CACHE_TYPES_V,
    ),
    "gpu.flash_attention": Key(
        str, "auto", "Flash attention.", choices=FLASH_ATTENTION
    ),
    "engine.max_models": Key(
        int, 4, "Models loaded at once on one machine.", minimum=1, maximum=256
    ),
    "engine.memory_mb": Key(
        int,
        0,
        "Memory that loaded models may take on one machine, in MiB; "
        "0 is 85 % of the machine's.",
        minimum=0,
    ),
    "engine.kv_memory_mb": Key(
        int,
        2048,
        "KV cache of one worker, in MiB, from which its context and its sequences "
        "follow.",
        minimum=16,
    ),
    "engine.kv_layout": Key(
        str,
        "auto",
        "`split` gives every sequence its own KV cells, `unified` shares them; `auto` "
        "splits if that leaves enough sequences.",
        choices=KV_LAYOUTS,
    ),
    "engine.swa_full": Key(
        bool,
        default=False,
        help="Layers with a sliding window keep what has left it, for cached prefixes.",
    ),
    "engine.n_seq_max": Key(
        int, 32, "Sequences of one model that run at once.", minimum=1, maximum=256
    ),
    "engine.n_batch": Key(
        int, 512, "Tokens decoded in one step, at most.", minimum=32, maximum=8192
    ),
    "engine.n_ubatch": Key(
        int,
        512,
        "Tokens computed at once, at most; more take more memory.",
        minimum=32,
        maximum=8192,
    ),
    "engine.n_threads": Key(
        int,
        0,
        "Threads of one worker; 0 is one per physical core.",
        minimum=0,
        maximum=512,
    ),
    "engine.n_threads_batch": Key(
        int,
        0,
        "Threads that compute prompts; 0 is as many as `engine.n_threads`.",
        minimum=0,
        maximum=512,
    ),
    "engine.numa": Key(
        str,
        "disabled",
        "How threads are spread over the memory nodes of a large machine.",
        choices=NUMA_STRATEGIES,
    ),
    "engine.mmap": Key(
        bool,
        default=True,
        help="Map model files: replicas share their memory, and loading is quicker.",
    ),
    "engine.mlock": Key(
        bool,
        default=False,
        help="Lock models in memory, so that they are never swapped out.",
    ),
    "engine.queue_size": Key(
        int,
        256,
        "Requests that may wait for one model outside of its workers, most of all "
        "while it is loaded.",
        minimum=1,
        maximum=100_000,
    ),
    "engine.max_waiting": Key(
        int,
        1024,
        "Requests that may wait in one worker; of more, the API key with the largest "
        "backlog for its weight loses its last.",
        minimum=1,
        maximum=100_000,
    ),
    "engine.queue_timeout": Key(
        int, 300, "Seconds that a request may wait to start.", minimum=1, maximum=86_400
    ),
    "engine.load_timeout": Key(
        int, 600, "Seconds that loading a model may take.", minimum=1, maximum=86_400
    ),
    "engine.drain_timeout": Key(
        int,
        60,
        "Seconds that running requests get before their model is unloaded.",
        minimum=0,
        maximum=86_400,
    ),
    "engine.keep_alive": Key(
        int,
        0,
        "Seconds after its last request that an idle model is unloaded; 0 is never.",
        minimum=0,
    ),
    "engine.replicas": Key(
        int,
        1,
        "Workers of one model that share its queue, as far as memory goes.",
        minimum=1,
        maximum=64,
    ),
    "engine.pinned": Key(
        bool,
        default=False,
        help="Never unload a model by itself: not to make room, nor by its keep-alive.",
    ),
    "engine.preload": Key(
        bool, default=False, help="Load models when an engine starts."
    ),
    "engine.shares_prefixes": Key(
        bool,
        default=False,
        help="Share cached prefixes between the owners of API keys; who measures times "
        "can then tell what others have asked.",
    ),
    "engine.pooling": Key(
        str,
        "auto",
        "How embedding models make a text's vector of those of its tokens; `auto` is "
        "as each model's file says.",
        choices=POOLINGS,
    ),
    "engine.draft": Key(
        str,
        "auto",
        "Speculative decoding: `lookup` guesses that an answer repeats what came "
        "before, as many tokens as pay at the current batch; `auto` does so while one "
        "or two answers are written. A draft model is chosen for each model, in the "
        "admin.",
        choices=CONFIGURED_DRAFTS,
    ),
    "cache.enabled": Key(
        bool,
        default=False,
        help="Keep the KV state of long prompts on disk, so that it need not be "
        "computed again after it made room for others, or after a restart. It tells "
        "what was said: only the server's user can read it.",
    ),
    "cache.dir": Key(str, None, "Folder of that cache. Unset: `cache` in data_dir."),
    "cache.max_size_mb": Key(
        int,
        5120,
        "Size of that cache, in MiB; the least recently used make room.",
        minimum=16,
    ),
    "auth.required": Key(
        bool, default=True, help="Refuse inference requests that carry no API key."
    ),
    "limits.max_messages": Key(int, 100, "Messages in one request.", minimum=1),
    "limits.max_message_kb": Key(int, 100, "Size of one message, in KiB.", minimum=1),
    "limits.max_content_kb": Key(
        int, 1024, "Size of all content in one request, in KiB.", minimum=1
    ),
    "limits.max_body_mb": Key(
        int, 10, "Size of a request's body, in MiB.", minimum=1, maximum=1024
    ),
    "server.host": Key(str, "127.0.0.1", "Address that the web server listens on."),
    "server.port": Key(int, 8000, "Port.", minimum=1, maximum=65_535),
    "server.workers": Key(
        int, 1, "Web processes that share the port.", minimum=1, maximum=64
    ),
    "server.cors_origins": Key(
        list, (), "Origins that browsers may call from; `*` is any, none is closed."
    ),
    "server.allowed_hosts": Key(
        list,
        ("*",),
        "Host names that the web server answers to.",
    ),
    "server.csrf_trusted_origins": Key(
        list, (), "Origins, with scheme, behind a proxy that ends TLS."
    ),
    "server.trusted_proxies": Key(
        int,
        0,
        "Proxies in front whose X-Forwarded-For entries are believed.",
        minimum=0,
        maximum=16,
    ),
    "server.rate_limit": Key(
        int,
        60,
        "Requests of one client in a window, unless its key says otherwise; "
        "0 is no limit.",
        minimum=0,
    ),
    "server.rate_limit_window": Key(
        int, 60, "The window, in seconds.", minimum=1, maximum=86_400
    ),
    "server.request_timeout": Key(
        int, 600, "Seconds that an answer may take.", minimum=1, maximum=86_400
    ),
    "database.url": Key(
        str, None, "Database URL. Unset: SQLite in data_dir (`postgres://…`)."
    ),
    "redis.url": Key(str, None, "Redis URL. Unset: a private Redis in data_dir."),
    "metrics.aliases": Key(
        bool,
        default=True,
        help="Export metrics under the names of vLLM and llama-server as well.",
    ),
    "logging.level": Key(
        str,
        "info",
        "Level of the log.",
        choices=("debug", "info", "warning", "error"),
    ),
}


@dataclass(frozen=True, slots=True)
class Config:
    """Every key of ``SCHEMA`` with its value: ``config["auth.required"]``."""

    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return Path(self.values["data_dir"]).expanduser().absolute()

    @property
    def models_dir(self) -> Path:
        """The models directory, absolute."""
        configured = self.values["models.dir"]
        if configured is None:
            return self.data_dir / "models"
        return Path(configured).expanduser().absolute()

    @property
    def cache_dir(self) -> Path:
        """The folder of prefixes on disk, absolute."""
        configured = self.values["cache.dir"]
        if configured is None:
            return self.data_dir / "cache"
        return Path(configured).expanduser().absolute()


def environment_name(key: str) -> str:
    """Return the environment variable of a key: LLM_MANAGER_SERVER_PORT."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()


def load_config(
    environ: Mapping[str, str] | None = None, path: Path | None = None
) -> Config:
    """Return the configuration in force.

    The file is ``path``, else ``LLM_MANAGER_CONFIG``, else ``llm_manager.yaml``
    in the working directory if there is one. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    values = {name: key.default for name, key in SCHEMA.items()}
    named = path or environ.get(ENVIRONMENT_PREFIX + "CONFIG")
    file = Path(named) if named else Path("llm_manager.yaml")
    if named or file.exists():
        values.update(_read_file(file))
    values.update(_read_environment(environ))
    config = Config(values)
    _check_combinations(config)
    return config


def _check_combinations(config: Config) -> None:
    """Refuse settings that exclude each other. Raises ConfigError."""
    try:
        found = dict(conflicts(settings_in_force(config)))
    except ValueError as error:
        found = {"tensor_split": str(error)}
    for setting, reason in found.items():
        raise ConfigError(f"{CONFIG_KEYS[setting]}: {reason}")


def _read_file(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if node is not None:
            _read_mapping(node, "", file, values)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a text file in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise ConfigError(f"{where}: not YAML: {error.problem}.") from None
    except yaml.YAMLError:
        raise ConfigError(f"{file}: not YAML: unprintable characters.") from None
    return values


def _read_mapping(
    node: yaml.Node, prefix: str, file: Path, out: dict[str, Any]
) -> None:
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        what = prefix.removesuffix(".") or "the file"
        raise ConfigError(f"{file}, line {line}: {what} must hold keys and values.")
    for key_node, value_node in node.value:
        name = prefix + str(key_node.value)
        where = f"{file}, line {key_node.start_mark.line + 1}"
        if name in SCHEMA:
            if name in out:
                raise ConfigError(f"{where}: {name} is set twice.")
            loader = yaml.SafeLoader("")
            out[name] = _check(
                name, loader.construct_object(value_node, deep=True), where
            )
        elif any(known.startswith(name + ".") for known in SCHEMA):
            _read_mapping(value_node, name + ".", file, out)
        else:
            raise ConfigError(f"{where}: unknown key {name}{_nearest(name)}")


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = {environment_name(key): key for key in SCHEMA}
    values: dict[str, Any] = {}
    for variable, key in {**ENVIRONMENT_ALIASES, **names}.items():
        if environ.get(variable, "") != "":
            values[key] = _check(key, _parse(key, environ[variable]), variable)
    return values


def _parse(name: str, text: str) -> Any:
    """Turn an environment variable's text into what YAML would have given."""
    kind = SCHEMA[name].kind
    if kind is list:
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(
            text.lower(), text
        )
    try:
        return kind(text)
    except ValueError:
        return text


_ACCEPTS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: type(value) is int),
    float: (
        "a number",
        lambda value: type(value) in (int, float) and math.isfinite(value),
    ),
    str: ("text", lambda value: isinstance(value, str)),
    list: (
        "a list of texts",
        lambda value: (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ),
    ),
}


def _check(name: str, value: Any, where: str) -> Any:
    """Return ``value`` in its key's type. Raises ConfigError."""
    key = SCHEMA[name]
    if value is None and key.default is None:
        return None
    if isinstance(value, bool) and "on" in key.choices:
        # YAML reads a bare on or off as a truth value.
        value = "on" if value else "off"
    expected, accepts = _ACCEPTS[key.kind]
    if not accepts(value):
        raise ConfigError(f"{where}: {name} must be {expected}, not {value!r}.")
    if key.minimum is not None and value < key.minimum:
        raise ConfigError(f"{where}: {name} must be at least {key.minimum:g}.")
    if key.maximum is not None and value > key.maximum:
        raise ConfigError(f"{where}: {name} must be at most {key.maximum:g}.")
    if key.choices and str(value).lower() not in key.choices:
        raise ConfigError(f"{where}: {name} must be one of {', '.join(key.choices)}.")
    if key.choices and key.kind is str:
        return value.lower()
    return tuple(value) if key.kind is list else key.kind(value)


def _nearest(name: str) -> str:
    known = difflib.get_close_matches(name, SCHEMA, n=1, cutoff=0.5)
    if not known:
        leaf = name.rsplit(".", 1)[-1]
        leaves = {key.rsplit(".", 1)[-1]: key for key in SCHEMA}
        known = [
            leaves[match] for match in difflib.get_close_matches(leaf, leaves, n=1)
        ]
    return f"; did you mean {known[0]}?" if known else "."
