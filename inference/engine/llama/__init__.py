"""The llama.cpp backend of the engine: the only package that imports llama_cpp.

Every C object has one owner here and is freed once, in the right order; return codes
are turned into exceptions.
"""

from inference.engine.llama.backend import LlamaBackend
from inference.engine.llama.embedding import LlamaEmbedder
from inference.engine.llama.quantize import quantize

__all__ = ["LlamaBackend", "LlamaEmbedder", "quantize"]
