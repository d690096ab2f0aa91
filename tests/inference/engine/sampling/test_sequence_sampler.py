"""What each sampler does, on the real model's logits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
import pytest

from inference.engine import SamplingParams
from inference.engine.config.cpu_threads import physical_cores
from inference.engine.llama.bindings.log import LlamaLog
from inference.engine.llama.bindings.tokenizer import LlamaTokenizer
from inference.engine.llama.sampling.sampler import SequenceSampler
from inference.engine.llama.sampling.sampler_cache import SamplerCache
from inference.engine.sampling.params import BAN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.sampling.logprobs import TokenLogprobs

pytestmark = pytest.mark.model

N_CTX = 512
STORY = (
    "<|im_start|>user\nTell me a story about the sea.<|im_end|>\n"
    "<|im_start|>assistant\nOnce upon a time, there was a"
)
LOOP = "one two three four five six seven eight nine ten" + (
    " one two three four five six seven eight nine ten" * 3
)
GREEDY = SamplingParams(temperature=0)


class Text:
    """One sequence on a context of its own."""

    def __init__(self, path: Path) -> None:
        LlamaLog().install()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = N_CTX
        context.n_threads = context.n_threads_batch = physical_cores()
        self.context = llama_cpp.llama_init_from_model(self._model, context)
        self.tokenizer = LlamaTokenizer(llama_cpp.llama_model_get_vocab(self._model))
        self.cache = SamplerCache(self.tokenizer)
        self.prompt: list[int] = []

    def close(self) -> None:
        self.cache.close()
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self._model)

    def token(self, text: str) -> int:
        (token,) = self.tokenizer.tokenize(text, special=False)
        return token

    def text(self, tokens: list[int]) -> str:
        return b"".join(map(self.tokenizer.piece, tokens)).decode()

    def begin(self, prompt: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Compute a prompt; return the logits after it."""
        self.prompt = self.tokenizer.tokenize(prompt, special=True)
        memory = llama_cpp.llama_get_memory(self.context)
        llama_cpp.llama_memory_clear(memory, True)
        self.decode(self.prompt)
        return self.logits()

    def decode(self, tokens: list[int]) -> None:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(array, len(tokens))
        assert llama_cpp.llama_decode(self.context, batch) == 0

    def logits(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        pointer = llama_cpp.llama_get_logits_ith(self.context, -1)
        shape = (self.tokenizer.n_vocab,)
        return np.ctypeslib.as_array(pointer, shape=shape).copy()

    def sampler(
        self, params: SamplingParams, output: tuple[int, ...] = ()
    ) -> SequenceSampler:
        return SequenceSampler(
            params,
            cache=self.cache,
            n_ctx=N_CTX,
            prompt=self.prompt,
            output=output,
        )

    def go_on(
        self, params: SamplingParams, count: int = 10, output: tuple[int, ...] = ()
    ) -> list[int]:
        """Return the tokens that follow the prompt and the output so far."""
        sampler = self.sampler(params, output)
        if output:
            self.decode(list(output))
        tokens: list[int] = []
        while len(tokens) < count:
            tokens.append(sampler.sample(self.context, -1))
            self.decode(tokens[-1:])
        sampler.close()
        return tokens

    def generate(
        self, params: SamplingParams, count: int = 10, prompt: str = STORY
    ) -> list[int]:
        self.begin(prompt)
        return self.go_on(params, count)

    def draw(self, params: SamplingParams, times: int = 50) -> list[int]:
        """Return the next token, drawn again and again from the same logits."""
        logits = self.logits()
        drawn = []
        for seed in range(times):
            sampler = self.sampler(replace(params, seed=seed))
            drawn.append(sampler.sample(self.context, -1))
            self._restore(logits)
            sampler.close()
        return drawn

    def describe(self, params: SamplingParams) -> tuple[int, TokenLogprobs]:
        sampler = self.sampler(params)
        token = sampler.sample(self.context, -1)
        logprobs = sampler.logprobs_of(token)
        sampler.close()
        assert logprobs is not None
        return token, logprobs

    def _restore(self, logits: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        pointer = llama_cpp.llama_get_logits_ith(self.context, -1)
        np.ctypeslib.as_array(pointer, shape=logits.shape)[:] = logits


@pytest.fixture(scope="module")
def text(sample_model_path: Path) -> Iterator[Text]:
    text = Text(sample_model_path)
    yield text
    text.close()


def chain_of(*samplers: Any) -> Any:
    params = llama_cpp.llama_sampler_chain_default_params()
    chain = llama_cpp.llama_sampler_chain_init(params)
    for sampler in samplers:
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    return chain


def softmax(logits: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    odds = np.exp(logits.astype(np.float64) - logits.max())
    return odds / odds.sum()


# The short cuts ---------------------------------------------------------------


def test_the_most_likely_token_is_the_one_that_llama_cpp_takes(text: Text) -> None:
    text.begin(STORY)
    chain = chain_of(llama_cpp.llama_sampler_init_greedy())
    sampler = text.sampler(GREEDY)
    for _ in range(16):
        token = llama_cpp.llama_sampler_sample(chain, text.context, -1)
        assert sampler.sample(text.context, -1) == token
        text.decode([token])
    sampler.close()
    llama_cpp.llama_sampler_free(chain)


@pytest.mark.parametrize("top_p", [0, 0.01, 0.5, 0.9, 0.999])
def test_top_p_draws_the_tokens_that_llama_cpp_draws(text: Text, top_p: float) -> None:
    params = SamplingParams(temperature=1.3, top_p=top_p, min_p=0.001, seed=3)
    tokens = text.generate(params)
    text.begin(STORY)
    chain = chain_of(
        llama_cpp.llama_sampler_init_top_p(top_p, 1),
        llama_cpp.llama_sampler_init_min_p(0.001, 1),
        llama_cpp.llama_sampler_init_temp(1.3),
        llama_cpp.llama_sampler_init_dist(3),
    )
    for token in tokens:
        assert llama_cpp.llama_sampler_sample(chain, text.context, -1) == token
        text.decode([token])
    llama_cpp.llama_sampler_free(chain)


# What takes tokens away -------------------------------------------------------


def test_banned_tokens_do_not_change_typical_p(text: Text) -> None:
    """A probability of zero has no logarithm: without care nothing is typical."""
    rare = int(text.begin(STORY).argmin())
    params = SamplingParams(temperature=0, typical_p=0.2)
    free = text.draw(params, times=1)
    assert text.draw(replace(params, logit_bias=((rare, BAN),)), times=1) == free
    assert text.draw(replace(params, logit_bias=((rare, -100.0),)), times=1) == free


@pytest.mark.parametrize(
    "only_the_most_likely",
    [
        {"top_k": 1},
        {"min_p": 1.0},
        {"top_p": 1e-6},
        {"top_n_sigma": 1e-6},
        {"top_p": 1e-6, "samplers": ("temperature", "top_p")},
    ],
    ids=str,
)
def test_a_sampler_that_leaves_one_token_equals_greedy(
    text: Text, only_the_most_likely: dict[str, Any]
) -> None:
    greedy = text.generate(GREEDY)
    params = SamplingParams(temperature=2.0, seed=1, **only_the_most_likely)
    assert text.generate(params) == greedy


def test_min_keep_keeps_more_than_the_most_likely(text: Text) -> None:
    text.begin(STORY)
    for params in (SamplingParams(min_p=1.0), SamplingParams(top_p=1e-6)):
        assert len(set(text.draw(params))) == 1
        assert len(set(text.draw(replace(params, min_keep=5, temperature=2.0)))) > 1


def test_typical_p_removes_tokens_that_are_too_likely(text: Text) -> None:
    logits = text.begin("The name of the capital of France is")
    most_likely = int(logits.argmax())
    rare = {
        text.draw(SamplingParams(temperature=0, typical_p=p), times=1)[0]
        for p in (0.05, 0.2, 0.5)
    }
    assert rare != {most_likely}


def test_xtc_removes_the_most_likely_tokens(text: Text) -> None:
    probabilities = softmax(text.begin(STORY))
    likely = np.flatnonzero(probabilities >= 0.02)
    assert len(likely) > 1
    params = SamplingParams(xtc_probability=1.0, xtc_threshold=0.02)
    # Only the least likely of those above the threshold stays.
    stays = likely[probabilities[likely].argmin()]
    assert set(text.draw(params)).isdisjoint(set(likely) - {stays})
    assert text.draw(replace(params, temperature=0), times=1) == [stays]


def test_xtc_with_half_a_chance_does_so_half_of_the_time(text: Text) -> None:
    most_likely = int(text.begin(STORY).argmax())
    params = SamplingParams(temperature=0, xtc_probability=0.5, xtc_threshold=0.02)
    kept = text.draw(params, times=60).count(most_likely)
    assert 15 < kept < 45


# Penalties --------------------------------------------------------------------


def test_dry_breaks_a_loop(text: Text) -> None:
    loop = text.generate(GREEDY, prompt=LOOP)
    assert text.text(loop).split()[:3] == ["one", "two", "three"]
    dry = SamplingParams(temperature=0, dry_multiplier=5.0, dry_penalty_last_n=-1)
    assert text.generate(dry, prompt=LOOP)[0] != loop[0]


def test_dry_looks_no_further_back_than_its_window_and_its_breakers(
    text: Text,
) -> None:
    loop = text.generate(GREEDY, prompt=LOOP)
    blind = SamplingParams(temperature=0, dry_multiplier=5.0, dry_penalty_last_n=5)
    assert text.generate(blind, prompt=LOOP)[:4] == loop[:4]
    broken = SamplingParams(
        temperature=0, dry_multiplier=5.0, dry_sequence_breakers=(" ten", " five")
    )
    assert text.generate(broken, prompt=LOOP)[:1] == loop[:1]


@pytest.mark.parametrize("name", ["repeat_penalty", "repetition_penalty"])
def test_a_repeat_penalty_counts_the_prompt(text: Text, name: str) -> None:
    (first, *_) = text.generate(GREEDY, prompt=LOOP)
    assert first in text.prompt
    params = SamplingParams(temperature=0, **{name: 10.0})  # type: ignore[arg-type]
    assert text.generate(params, count=1, prompt=LOOP)[0] not in text.prompt


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_openais_penalties_count_the_output_only(text: Text, name: str) -> None:
    loop = text.generate(GREEDY, count=24, prompt=LOOP)
    params = SamplingParams(temperature=0, **{name: 50.0})  # type: ignore[arg-type]
    tokens = text.generate(params, count=24, prompt=LOOP)
    assert tokens[0] == loop[0]
    assert len(set(tokens)) == len(tokens) > len(set(loop))


def test_a_penalty_ignores_tokens_beyond_its_window(text: Text) -> None:
    params = SamplingParams(temperature=0, presence_penalty=50.0, repeat_last_n=3)
    tokens = text.generate(params, count=24, prompt=LOOP)
    assert len(set(tokens)) < len(tokens)
    for at in range(3, 24):
        assert tokens[at] not in tokens[at - 3 : at]


# What chooses -----------------------------------------------------------------


def surprise(text: Text, params: SamplingParams) -> float:
    """Return the mean negative logprob of the sampled tokens."""
    text.begin(STORY)
    sampler = text.sampler(replace(params, logprobs=0))
    total = 0.0
    for _ in range(24):
        token = sampler.sample(text.context, -1)
        logprobs = sampler.logprobs_of(token)
        assert logprobs is not None
        total -= logprobs.chosen.logprob
        text.decode([token])
    sampler.close()
    return total / 24


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_steers_the_surprise(text: Text, version: int) -> None:
    dull = SamplingParams(mirostat=version, mirostat_tau=0.5, mirostat_eta=0.5, seed=1)
    wild = replace(dull, mirostat_tau=8.0)
    assert surprise(text, dull) < surprise(text, wild)


def test_adaptive_p_steers_the_probability(text: Text) -> None:
    likely = SamplingParams(adaptive_target=0.9, min_p=0.01, seed=1)
    unlikely = replace(likely, adaptive_target=0.05)
    assert surprise(text, likely) < surprise(text, unlikely)


def test_a_dynamic_temperature_is_higher_where_the_model_is_unsure(text: Text) -> None:
    params = SamplingParams(temperature=1.0, dynatemp_range=1.0, top_k=20)
    text.begin("Monday, Tuesday, Wednesday, Thursday,")
    assert len(set(text.draw(params))) <= 2
    text.begin(STORY)
    assert len(set(text.draw(params))) > 2


# Biases and ends --------------------------------------------------------------


def favouring_the_end(text: Text, **params: Any) -> SamplingParams:
    (end, *_) = text.tokenizer.ends
    return SamplingParams(temperature=0, logit_bias=((end, 1000.0),), **params)


def test_a_bias_of_a_text_goes_to_each_of_its_tokens(text: Text) -> None:
    most_likely = text.generate(GREEDY, count=3)
    words = text.text(most_likely)
    banned = SamplingParams(temperature=0, logit_bias_text=((words, BAN),))
    tokens = text.generate(banned, count=12)
    named = text.tokenizer.tokenize(words, special=False)
    assert len(named) > 1
    assert set(tokens).isdisjoint(named)


def test_biases_of_the_same_token_add_up(text: Text) -> None:
    token = text.token("!")
    halves = SamplingParams(
        temperature=0,
        logit_bias=((token, 500.0), (token, 500.0)),
        logit_bias_text=(("!", -990.0),),
    )
    text.begin(STORY)
    whole = SamplingParams(temperature=0, logit_bias=((token, 10.0),))
    assert text.draw(halves, 1) == text.draw(whole, 1)


def test_biases_hold_for_every_way_of_choosing(text: Text) -> None:
    token = text.token("!")
    text.begin(STORY)
    for params in (
        GREEDY,
        SamplingParams(top_p=0.9),
        SamplingParams(),
        SamplingParams(top_k=40, presence_penalty=1.0),
        SamplingParams(mirostat=2),
    ):
        biased = replace(params, logit_bias=((token, 100.0),))
        assert set(text.draw(biased, times=5)) == {token}


def test_no_end_comes_before_the_least_number_of_tokens(text: Text) -> None:
    tokens = text.generate(favouring_the_end(text, min_tokens=5), count=6)
    assert [text.tokenizer.is_end(token) for token in tokens] == [False] * 5 + [True]


def test_the_least_number_of_tokens_counts_those_of_an_earlier_worker(
    text: Text,
) -> None:
    text.begin(STORY)
    params = favouring_the_end(text, min_tokens=3)
    tokens = text.go_on(params, count=2, output=(text.token("!"),) * 2)
    assert [text.tokenizer.is_end(token) for token in tokens] == [False, True]


def test_no_stop_token_comes_before_the_least_number_of_tokens(text: Text) -> None:
    stop = text.token("!")
    params = SamplingParams(
        temperature=0,
        logit_bias=((stop, 1000.0),),
        stop_token_ids=(stop,),
        min_tokens=2,
    )
    assert [token == stop for token in text.generate(params, count=3)] == [
        False,
        False,
        True,
    ]


def test_an_ignored_end_never_comes(text: Text) -> None:
    params = favouring_the_end(text, ignore_eos=True)
    assert not any(map(text.tokenizer.is_end, text.generate(params)))


@pytest.mark.parametrize("params", [{}, {"xtc_probability": 0.5}], ids=str)
def test_a_token_that_is_taken_leaves_the_same_luck_to_the_next(
    text: Text, params: dict[str, Any]
) -> None:
    sampling = SamplingParams(temperature=1.2, seed=5, **params)
    whole = text.generate(sampling, count=8)
    text.begin(STORY)
    sampler = text.sampler(sampling)
    for token in whole[:4]:
        sampler.take(token)
    text.decode(whole[:4])
    rest = []
    for _ in range(4):
        rest.append(sampler.sample(text.context, -1))
        text.decode(rest[-1:])
    sampler.close()
    assert rest == whole[4:]


def test_the_ends_are_all_that_llama_cpp_knows(text: Text) -> None:
    assert text.token("<|im_end|>") in text.tokenizer.ends
    assert text.token("<|endoftext|>") in text.tokenizer.ends
    assert all(map(text.tokenizer.is_end, text.tokenizer.ends))


def test_tokens_that_the_model_suppresses_never_come(
    text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = text.generate(GREEDY, count=1)
    monkeypatch.setattr(text.tokenizer, "suppressed", (first,))
    assert first not in text.generate(GREEDY)


# Seeds ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_text_and_another_seed_another(
    text: Text,
) -> None:
    params = SamplingParams(temperature=1.5, seed=7)
    first = text.generate(params)
    assert text.generate(params) == first
    assert text.generate(replace(params, seed=8)) != first


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"top_p": 0.9},
        {"top_k": 40, "min_p": 0.01},
        {"presence_penalty": 1.0, "repeat_penalty": 1.1, "top_p": 0.95},
        {"dry_multiplier": 1.0, "top_k": 100},
        {"xtc_probability": 0.5, "xtc_threshold": 0.05},
    ],
    ids=str,
)
def test_a_resumed_sequence_continues_as_if_nothing_had_happened(
    text: Text, params: dict[str, Any]
) -> None:
    sampling = SamplingParams(temperature=1.2, seed=11, **params)
    whole = text.generate(sampling)
    text.begin(STORY)
    output = tuple(whole[:6])
    assert text.go_on(sampling, count=4, output=output) == whole[6:]


# Probabilities ----------------------------------------------------------------


def test_logprobs_are_those_of_a_softmax(text: Text) -> None:
    logits = text.begin(STORY)
    expected = np.log(softmax(logits))
    token, logprobs = text.describe(SamplingParams(temperature=0, logprobs=5))
    assert logprobs.chosen.token == token == int(logits.argmax())
    assert logprobs.chosen.piece == text.tokenizer.piece(token)
    best = np.argsort(-expected)[:5]
    assert [each.token for each in logprobs.top] == best.tolist()
    for each in (logprobs.chosen, *logprobs.top):
        assert each.logprob == pytest.approx(expected[each.token], rel=1e-12)


def test_logprobs_are_the_models_own_whatever_the_samplers_do(text: Text) -> None:
    expected = np.log(softmax(text.begin(STORY)))
    (end, *_) = text.tokenizer.ends
    banned = int(expected.argmax())
    token, logprobs = text.describe(
        SamplingParams(
            temperature=0.3,
            top_k=3,
            logit_bias=((banned, BAN), (end, 100.0)),
            min_tokens=1,
            logprobs=1,
        )
    )
    assert token not in (banned, end)
    assert logprobs.chosen.logprob == pytest.approx(expected[token], rel=1e-12)
    assert logprobs.top[0].token == banned


def test_control_tokens_are_reported_by_their_names(text: Text) -> None:
    text.begin(STORY)
    end = text.token("<|im_end|>")
    params = SamplingParams(temperature=0, logit_bias=((end, 1000.0),), logprobs=0)
    _, logprobs = text.describe(params)
    assert logprobs.chosen.piece == b"<|im_end|>"
    assert logprobs.top == ()


def test_no_logprobs_are_returned_unasked(text: Text) -> None:
    text.begin(STORY)
    sampler = text.sampler(GREEDY)
    assert sampler.logprobs_of(sampler.sample(text.context, -1)) is None
    sampler.close()


def test_a_prompts_tokens_have_probabilities_too(text: Text) -> None:
    expected = np.log(softmax(text.begin(STORY)))
    sampler = text.sampler(SamplingParams(temperature=0, prompt_logprobs=2))
    token = text.token(" a")
    logprobs = sampler.prompt_logprobs_of(text.context, -1, token)
    assert logprobs.chosen.logprob == pytest.approx(expected[token], rel=1e-12)
    assert len(logprobs.top) == 2
    sampler.close()
