"""The architectures that llama.cpp knows, and those of them that answer nothing alone.

``KNOWN`` is ``LLM_ARCH_NAMES`` of llama.cpp's src/llama-arch.cpp, of the release that
pyproject.toml pins; a test compares it with the installed library. When it changes,
``registry.gguf.describe.VERSION`` goes up, so that models are read again.
"""

from __future__ import annotations

from typing import Literal

#: The kinds of files that are listed with a reason and never loaded alone.
PartKind = Literal["draft_head", "voice", "unsupported"]

KNOWN = frozenset(
    """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3
    bert bitnet bloom chameleon chatglm clip codeshell cogvlm cohere2 cohere2moe
    command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash
    dots1 dots3note dream eagle3 ernie4_5 ernie4_5-moe eurobert exaone exaone-moe
    exaone4 falcon falcon-h1 gemma gemma-embedding gemma2 gemma3 gemma3n gemma4
    gemma4-assistant glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2 gptj gptneox
    granite granite_swa granitehybrid granitemoe graniteswitch grok grovemoe
    hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2
    jamba jina-bert-v2 jina-bert-v3 kimi-k3 kimi-linear laguna lfm2 lfm2moe llada
    llada-moe llama llama-embed llama4 maincoder mamba mamba2 maple mellum mimo2
    minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 modern-bert
    mpt muse-glimmer nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert
    nomic-bert-moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3
    phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl qwen3
    qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe qwen4exp refact
    rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm
    starcoder starcoder2 step35 t5 t5encoder talkie wavtokenizer-dec xverse
    """.split()  # noqa: SIM905 - a name a line would be a page
)

#: They read the hidden states of another model; llama.cpp makes no context of one.
_DRAFT_HEADS = frozenset({"dflash", "eagle3", "gemma4-assistant"})
#: They make or read sound, not text.
_VOICE = frozenset({"pockettts", "qwen3tts", "wavtokenizer-dec"})
#: They write by denoising a whole text, not token after token.
_DIFFUSION = frozenset({"dream", "llada", "llada-moe", "rnd1"})
#: llama.cpp has the name, but no code for them (``llama_model_mapping``).
_NAMES_ONLY = frozenset({"gptj"})
#: The encoder must run before the decoder; the engine runs decoders.
_ENCODER_DECODERS = frozenset({"t5"})


_PARTS = {
    "projector": "It is a vision projector: it is loaded with a language model.",
    "lora": "It is a LoRA adapter: it is loaded with the model that it is attached to.",
    "draft_head": "It is a draft head, a part of another model that cannot run alone.",
    "voice": "It makes sound, not text.",
}


def part_kind(architecture: str) -> PartKind | None:
    """Return the kind of a file that cannot answer alone; None for a whole model."""
    if architecture in _DRAFT_HEADS:
        return "draft_head"
    if architecture in _VOICE:
        return "voice"
    return "unsupported" if _unsupported(architecture) else None


def why_not_alone(kind: str, architecture: str) -> str:
    """Return why a file of this kind is never loaded alone, as a sentence, or ""."""
    if kind == "unsupported":
        # A release that knows the architecture reads the file again and decides.
        return _unsupported(architecture) or "The last scan found it unsupported."
    return _PARTS.get(kind, "")


def _unsupported(architecture: str) -> str:
    if architecture in _DIFFUSION:
        return "It writes by denoising, which the engine does not do."
    if architecture in _ENCODER_DECODERS:
        return "It has an encoder and a decoder; the engine runs decoders."
    if architecture not in KNOWN or architecture in _NAMES_ONLY:
        return (
            f"The installed llama.cpp does not know the architecture '{architecture}'."
        )
    return ""
