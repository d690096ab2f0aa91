"""Which model answers, and how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import LLMManager, errors
from tests.gguf_files import llama_fields, write_gguf

if TYPE_CHECKING:
    from pathlib import Path

HELLO = [{"role": "user", "content": "hello"}]


def test_models_are_found_below_the_folder_as_they_are_now(
    manager: LLMManager, models_dir: Path
) -> None:
    assert [m["id"] for m in manager.list_models()] == ["large", "small", "vectors"]
    write_gguf(models_dir / "new.gguf", llama_fields())
    (models_dir / "large.gguf").unlink()
    found = manager.list_models()
    assert {m["id"] for m in found} == {"new", "small", "vectors"}
    assert {m["state"] for m in found} == {"unloaded"}


@pytest.mark.parametrize("name", ["small", "small.gguf"])
def test_a_model_is_loaded_by_its_id_or_its_files_name(
    manager: LLMManager, name: str
) -> None:
    assert manager.load_model(name)["state"] == "ready"
    assert manager.current_model == "small"


@pytest.mark.parametrize(
    "name", ["../large.gguf", "/etc/passwd", "more/small.gguf", "lar", "", "\x00"]
)
def test_a_name_is_never_a_path(manager: LLMManager, name: str) -> None:
    with pytest.raises(errors.ModelNotFound, match="large, small, vectors"):
        manager.load_model(name)


def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    manager: LLMManager, models_dir: Path
) -> None:
    (models_dir / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(errors.ModelNotFound, match="cannot be used"):
        manager.load_model("broken")


def test_the_model_that_was_loaded_last_answers_unless_one_is_named(
    manager: LLMManager,
) -> None:
    manager.load_model("large")
    manager.load_model("small")
    assert manager.generate(HELLO, max_tokens=1)["model"] == "small"
    assert manager.generate(HELLO, max_tokens=1, model="large")["model"] == "large"
    assert manager.loaded_models == ["large", "small"]
    manager.load_model("large")
    assert manager.current_model == "large"


def test_a_model_that_a_request_names_is_loaded(manager: LLMManager) -> None:
    assert manager.generate(HELLO, max_tokens=1, model="small")["model"] == "small"
    assert manager.loaded_models == ["small"]


def test_the_only_model_answers_without_being_loaded_first(
    manager: LLMManager, models_dir: Path
) -> None:
    with pytest.raises(errors.ModelNotFound, match="large, small"):
        manager.generate(HELLO)
    (models_dir / "large.gguf").unlink()
    assert manager.generate(HELLO, max_tokens=1)["model"] == "small"


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with LLMManager(tmp_path / "none") as manager:
        assert manager.list_models() == []
        with pytest.raises(errors.ModelNotFound, match="no such file"):
            manager.generate(HELLO)


def test_switching_unloads_the_current_model(manager: LLMManager) -> None:
    manager.load_model("large")
    manager.switch_model("small")
    assert manager.loaded_models == ["small"]
    with pytest.raises(errors.ModelNotFound):
        manager.switch_model("none")
    assert manager.loaded_models == ["small"]


def test_unloading_is_of_what_is_loaded(manager: LLMManager) -> None:
    manager.unload_model()
    manager.load_model("large")
    with pytest.raises(errors.ModelNotFound, match="Loaded: large"):
        manager.unload_model("small")
    manager.unload_model("large.gguf")
    assert manager.loaded_models == []


def test_an_answer_ends_with_its_model(manager: LLMManager) -> None:
    manager.load_model("large")
    stream = manager.generate(prompt="x", stream=True, max_tokens=3000)
    next(stream)
    manager.unload_model()
    with pytest.raises(errors.ModelUnloaded):
        list(stream)


def test_load_settings_are_the_admins(manager: LLMManager) -> None:
    manager.load_model("large", config={"n_ctx": 512, "n_seq_max": 2, "mmap": False})
    loaded = manager._models.get("large")
    assert loaded is not None
    engine = loaded.plan.engine
    assert (engine.n_ctx, engine.n_seq_max, engine.use_mmap) == (512, 2, False)


@pytest.mark.parametrize(
    ("config", "param", "words"),
    [
        ({"n_ctxx": 1}, "n_ctxx", "did you mean 'n_ctx'"),
        ({"n_ctx": "much"}, "n_ctx", "'n_ctx' must be"),
        ({"n_ctx": 10**6}, "n_ctx", "trained on"),
        ({"n_seq_max": 0}, "n_seq_max", "at least 1"),
        ({"cache_type_k": "q9"}, "cache_type_k", "must be one of f32"),
        ({"keep_alive": 60}, "keep_alive", "for servers"),
        ({"draft": "model"}, "draft", "Choose a draft model"),
        ({"draft_model": "large"}, "draft_model", "its own draft model"),
        ({"adapters": ["small"]}, "adapters[0]", "adapter"),
        ({"n_ubatch": 1024}, "n_ubatch", "larger than the batch"),
        ({"pooling": "cls"}, "pooling_type", "cannot have the pooling"),
        ({"temperature": 5}, "temperature", "at most 2"),
        ({"mmap": True, "use_mmap": True}, "use_mmap", "another name"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_by_name(
    manager: LLMManager, config: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(errors.InvalidLoadSetting, match=words) as caught:
        manager.load_model("large", config=config)
    assert caught.value.param == f"config.{param}"
    assert manager.loaded_models == []


def test_a_models_own_defaults_hold_for_its_requests(manager: LLMManager) -> None:
    manager.load_model("large", config={"max_tokens": 3})
    answer = manager.generate(HELLO)
    assert answer["usage"]["completion_tokens"] == 3
    manager.load_model("large")
    assert manager.generate(HELLO, max_tokens=5)["usage"]["completion_tokens"] == 5


def test_the_configurations_limits_and_defaults_hold(
    manager: LLMManager, models_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "llm_manager.yaml"
    config.write_text("generation: {max_tokens: 2}\nlimits: {max_messages: 3}\n")
    with LLMManager(models_dir, config, use_subprocess=False) as other:
        other.load_model("large")
        assert other.generate(HELLO)["usage"]["completion_tokens"] == 2
        with pytest.raises(errors.BadRequest, match="at most 3"):
            other.generate(HELLO * 4)


def test_a_default_pooling_is_for_the_models_that_have_one(
    manager: LLMManager, models_dir: Path
) -> None:
    with LLMManager(
        models_dir, {"engine": {"pooling": "mean"}}, use_subprocess=False
    ) as other:
        assert other.load_model("large")["state"] == "ready"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"generation": {"temperatures": 1}}, "did you mean generation.temperature"),
        ({"generation": {"temperature": 9}}, "at most 2"),
        ("/nowhere/llm_manager.yaml", "No such file"),
    ],
)
def test_a_wrong_configuration_is_refused(config: Any, words: str) -> None:
    with pytest.raises(errors.ConfigError, match=words):
        LLMManager("models", config)


def test_a_model_that_does_not_fit_is_refused_with_the_reason(
    manager: LLMManager, models_dir: Path
) -> None:
    config = {"engine": {"max_models": 1}}
    with LLMManager(models_dir, config, use_subprocess=False) as other:
        other.load_model("large")
        with pytest.raises(errors.ModelLoadFailed, match=r"engine\.max_models"):
            other.load_model("small")
        assert other.loaded_models == ["large"]


def test_a_model_of_another_kind_is_refused_by_name(manager: LLMManager) -> None:
    with pytest.raises(errors.BadRequest, match="cannot make embeddings") as caught:
        manager.embed("text", model="large")
    assert caught.value.code == "model_not_embedding"
