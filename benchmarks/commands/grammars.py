"""``python -m benchmarks grammars``: GBNF by llguidance and by llama.cpp itself.

Times are CPU time, which a busy machine changes little. ``mask`` is which tokens of the
whole vocabulary may come next, and taking one of them. llama.cpp's own programs first
sample without the grammar and check that token alone (``one``); only where it may not
come do they need the mask. Hostile grammars run in processes of their own.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.model import put_model
from benchmarks.reporting.figures import percentile

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.options.commands import GrammarOptions
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

_JSON = r"""
root   ::= value
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""
_ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= ([ \t\n] ws)?
"""
_LIST = r"""
root ::= item+
item ::= "- " [^\r\n]+ "\n"
"""
#: Grammars, each with a text that matches it.
GRAMMARS = {
    "json": (
        _JSON,
        '{"name": "Ada Lovelace", "born": 1815, "works": ["Notes", "Letters to '
        'Babbage"], "score": -12.5e3, "alive": false, "address": {"city": "London", '
        '"note": "She wrote the first program, \\"Note G\\", for a machine that was '
        'never built."}}',
    ),
    "arithmetic": (_ARITHMETIC, "(a +12) *bc = x1\n3 *(4 +(5 -yy)) /2 = 17\n" * 3),
    "list": (
        _LIST,
        "- The ship sailed at dawn.\n- Nobody had slept.\n- The crew was content.\n"
        * 3,
    ),
}
#: Grammars that cost more than they look, each with a text to generate.
HOSTILE = {
    "10,000 parentheses": (f"root ::= {'(' * 10_000}[a]{')' * 10_000}", "a"),
    "nested repetitions": ("root ::= (([a]{1000}){1000}){1000}", "a" * 64),
    "left recursion": ("root ::= root [a] | [a]", "a" * 64),
    "100 optional parts": (f"root ::= {'[a]? ' * 100}[b]", "a" * 64),
    "ambiguity": ("root ::= [a] | [a] root | [a] root root", "a" * 64),
    "20 rules, each the next twice": (
        "root ::= x0\n"
        + "".join(f"x{n} ::= x{n + 1} x{n + 1} | [a]\n" for n in range(20))
        + "x20 ::= [a]\n",
        "a" * 64,
    ),
}
#: Seconds of CPU time.
_TIME_LIMIT_S = 20
_MEMORY_LIMIT_BYTES = 4 << 30
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])

#: Starts a sequence; what it returns takes a token and returns seconds by part.
Engine = Callable[["LlamaTokenizer", str], Callable[[int], dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds to start a sequence, and of each of its tokens by part."""

    compile_s: float
    tokens: dict[str, list[float]]


def measure(options: GrammarOptions) -> int:
    """Measure and print; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        model = put_model(Path(folder) / "models", "Q4_1")
        console = Console()
        console.print(_speed(model, options.rounds))
        console.print(_hostile(model))
    return 0


def _speed(model: Path, rounds: int) -> Table:
    table = Table(title="CPU time by grammar")
    table.add_column("grammar, engine")
    for column in ("first use, ms", "token, µs", "p95", "max", "one token, µs", "max"):
        table.add_column(column, justify="right")
    with ExitStack() as stack:
        tokenizer = _open(model, stack)
        for engine in ENGINES.values():
            # What is imported, and made once for all grammars, counts for none.
            engine(tokenizer, "root ::= [x]")
        for name, (source, text) in GRAMMARS.items():
            tokens = tokenizer.tokenize(text, special=False, parse_special=False)
            for engine_name, engine in ENGINES.items():
                runs = [walk(tokenizer, engine, source, tokens) for _ in range(rounds)]
                cells = [f"{1000 * runs[0].compile_s:.1f}"]
                for part in ("mask", "one"):
                    # Of each token the median of its rounds.
                    per_token = [
                        statistics.median(of)
                        for of in zip(
                            *(r.tokens.get(part, []) for r in runs), strict=True
                        )
                    ]
                    cells += _cells(per_token, with_p95=part == "mask")
                table.add_row(f"{name}, {engine_name}", *cells)
    return table


def _cells(seconds: list[float], *, with_p95: bool) -> list[str]:
    percents = [50, 95, 100] if with_p95 else [50, 100]
    if not seconds:
        return ["-"] * len(percents)
    return [f"{1e6 * percentile(seconds, percent):.0f}" for percent in percents]


def walk(
    tokenizer: LlamaTokenizer, engine: Engine, source: str, tokens: list[int]
) -> Times:
    start = time.process_time()
    accept = engine(tokenizer, source)
    compile_s = time.process_time() - start
    parts: dict[str, list[float]] = {}
    for token in tokens:
        for part, seconds in accept(token).items():
            parts.setdefault(part, []).append(seconds)
    return Times(compile_s, parts)


def _open(model: Path, stack: ExitStack) -> LlamaTokenizer:
    import llama_cpp

    from inference.engine.llama.bindings.log import LlamaLog
    from inference.engine.llama.bindings.tokenizer import LlamaTokenizer

    LlamaLog().install()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    loaded = llama_cpp.llama_model_load_from_file(str(model).encode(), params)
    stack.callback(llama_cpp.llama_model_free, loaded)
    return LlamaTokenizer(llama_cpp.llama_model_get_vocab(loaded))


# Engines --------------------------------------------------------------------------


def _llguidance(
    tokenizer: LlamaTokenizer, source: str
) -> Callable[[int], dict[str, float]]:
    from inference.engine.structured_output import grammars

    grammar = grammars.gbnf(source)
    matcher = _compiler(tokenizer).matcher(grammar)
    logits = np.zeros(tokenizer.n_vocab, np.float32)

    def accept(token: int) -> dict[str, float]:
        logits[:] = 0
        start = time.process_time()
        allowed = matcher.mask(logits)
        matcher.accept(token)
        seconds = time.process_time() - start
        _check(allowed[token])
        return {"mask": seconds}

    return accept


_compilers: dict[int, Any] = {}


def _compiler(tokenizer: LlamaTokenizer) -> Any:
    """Return the compiler of a vocabulary, whose making counts for no grammar."""
    from inference.engine.llama.sampling.grammar_compiler import grammar_compiler

    if id(tokenizer) not in _compilers:
        _compilers[id(tokenizer)] = grammar_compiler(tokenizer)
    return _compilers[id(tokenizer)]


def _llama_cpp(
    tokenizer: LlamaTokenizer, source: str
) -> Callable[[int], dict[str, float]]:
    import llama_cpp

    sampler = llama_cpp.llama_sampler_init_grammar(
        tokenizer.vocab, source.encode(), b"root"
    )
    if not sampler:
        raise ValueError("llama.cpp refuses it")
    everything = np.zeros(tokenizer.n_vocab, _CANDIDATE)
    everything["id"] = np.arange(tokenizer.n_vocab)
    single = np.zeros(1, _CANDIDATE)

    def apply(candidates: np.ndarray[Any, Any]) -> float:
        candidates["logit"] = 0
        data = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
        size, is_sorted = len(candidates), False
        array = llama_cpp.llama_token_data_array(data, size, -1, is_sorted)
        start = time.process_time()
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        return time.process_time() - start

    def accept(token: int) -> dict[str, float]:
        mask_s = apply(everything)
        _check(everything["logit"][token] == 0)
        single["id"] = token
        one_s = apply(single)
        start = time.process_time()
        llama_cpp.llama_sampler_accept(sampler, token)
        accept_s = time.process_time() - start
        return {"mask": mask_s + accept_s, "one": one_s + accept_s}

    return accept


ENGINES: dict[str, Engine] = {"llguidance": _llguidance, "llama.cpp": _llama_cpp}


def _check(is_allowed: np.bool_) -> None:
    if not is_allowed:
        raise ValueError("a token of a text that matches is banned")


# Hostile grammars -----------------------------------------------------------------


def _hostile(model: Path) -> Table:
    table = Table(title="Hostile grammars, each in a process of its own")
    table.add_column("grammar")
    for name in ENGINES:
        table.add_column(name)
    for name in HOSTILE:
        table.add_row(name, *(_outcome(model, engine, name) for engine in ENGINES))
    return table


def _outcome(model: Path, engine: str, name: str) -> str:
    """Return how a process that generates by a hostile grammar ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(model, engine, name, theirs))
    process.start()
    theirs.close()
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        return f"not done after {_TIME_LIMIT_S} s"
    if process.exitcode or not ours.poll():
        return f"the process dies ({process.exitcode})"
    return str(ours.recv())


def _try(model: Path, engine: str, name: str, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    # The second limit would kill it if it went on after the first.
    resource.setrlimit(resource.RLIMIT_CPU, (_TIME_LIMIT_S, _TIME_LIMIT_S + 5))
    source, text = HOSTILE[name]
    with ExitStack() as stack:
        tokenizer = _open(model, stack)
        if engine == "llguidance":
            _compiler(tokenizer)
        start = time.process_time()
        (token,) = tokenizer.tokenize("a", special=False)
        try:
            walk(tokenizer, ENGINES[engine], source, [token] * len(text))
        except Exception as error:
            outcome = f"refused: {error}"[:60]
        else:
            outcome = "generates"
        answer.send(f"{outcome} ({time.process_time() - start:.2f} s)")
