"""lm-evaluation-harness: how likely a model finds texts, by echo and logprobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from gguf import GGUFReader
from lm_eval import simple_evaluate
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.clients.client import MODEL, Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.whole_server import Server

_ARGUMENTS = ",".join(
    (
        f"model={MODEL}",
        "base_url=http://localhost:8000/v1/completions",
        "tokenizer_backend=huggingface",
        "tokenizer=HuggingFaceTB/SmolLM2-135M-Instruct",
    )
)
CLIENT = Client(
    "lm-evaluation-harness",
    ("lm-eval",),
    f"""
    export OPENAI_API_KEY=YOUR_KEY
    lm_eval --tasks lambada_openai --model local-completions --model_args \\
      {_ARGUMENTS}
    """,
    language="sh",
    note="It cuts texts into tokens itself, by the model's own tokenizer: a folder, or "
    "a name that it downloads.",
)
QUESTIONS = [
    {"question": "The capital of France is", "choices": [" Paris", " Oslo"]},
    {"question": "The opposite of hot is", "choices": [" cold", " seven"]},
    {"question": "One, two, three,", "choices": [" four", " green"]},
]


@pytest.fixture(scope="module")
def tokenizer(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's tokenizer, from its file, as Hugging Face's libraries read it."""
    fields = GGUFReader(data_dir / "models" / f"{MODEL}.gguf").fields
    vocabulary = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    made = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(vocabulary)},
            merges=[tuple(merge.split(" ")) for merge in merges],
        )
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    end = vocabulary[fields["tokenizer.ggml.eos_token_id"].contents()]
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=end, pad_token=end
    ).save_pretrained(folder)
    return folder


def evaluate(
    task: dict[str, Any],
    server: Server,
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at_once: int = 1,
) -> Any:
    """Return lm-eval's results, with the page's arguments except the tokenizer."""
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    lines = tmp_path / "questions.jsonl"
    lines.write_text("\n".join(map(json.dumps, QUESTIONS)))
    address = f"http://{server.host}:{server.port}"
    arguments = _ARGUMENTS.replace("http://localhost:8000", address)
    arguments, _, _ = arguments.rpartition("tokenizer=")
    return simple_evaluate(
        model="local-completions",
        model_args=f"{arguments}tokenizer={tokenizer},max_retries=1,max_length=512,"
        f"num_concurrent={at_once}",
        tasks=[
            {
                "task": "capitals",
                "dataset_path": "json",
                "dataset_kwargs": {
                    "data_files": {"test": str(lines)},
                    "cache_dir": str(tmp_path / "cache"),
                },
                "test_split": "test",
                "doc_to_text": "{{question}}",
                "num_fewshot": 0,
                **task,
            }
        ],
        bootstrap_iters=0,
        log_samples=True,
    )


@pytest.mark.parametrize("at_once", [1, 4])
def test_choices_are_weighed_by_their_logprobs(
    server: Server,
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    task = {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": 0,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    found = evaluate(task, server, tokenizer, tmp_path, monkeypatch, at_once=at_once)
    assert found["results"]["capitals"]["acc,none"] == 1


def test_a_texts_likelihood_is_the_sum_that_the_server_says(
    server: Server,
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = {
        "output_type": "loglikelihood",
        "doc_to_target": "{{choices[0]}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
    }
    found = evaluate(task, server, tokenizer, tmp_path, monkeypatch)
    sample = found["samples"]["capitals"][0]
    (likelihood, is_greedy) = sample["filtered_resps"][0]
    scored = httpx.post(
        f"http://{server.host}:{server.port}/v1/completions",
        headers={"Authorization": f"Bearer {server.key}"},
        json={
            "model": MODEL,
            "prompt": QUESTIONS[0]["question"],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
        },
    ).json()["choices"][0]["logprobs"]
    assert scored["tokens"] == [" Paris"]
    assert float(likelihood) == pytest.approx(scored["token_logprobs"][0], abs=0.02)
    assert str(is_greedy) == "True"


def test_texts_are_generated_up_to_a_stop(
    server: Server,
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[0]}}",
        "generation_kwargs": {"until": [".", ","], "max_gen_toks": 12},
        "metric_list": [{"metric": "exact_match"}],
    }
    found = evaluate(task, server, tokenizer, tmp_path, monkeypatch)
    texts = [sample["filtered_resps"][0] for sample in found["samples"]["capitals"]]
    assert "Paris" in texts[0]
    assert not any("." in text or "," in text for text in texts)
