"""llama.cpp behind the engine's seam: the only place that imports llama_cpp.

Every C object has one owner here and is freed once, in the right order; return
codes become errors at once.
"""

from inference.engine.llama.backend import LlamaBackend
from inference.engine.llama.embedding import LlamaEmbedder
from inference.engine.llama.quantize import quantize

__all__ = ["LlamaBackend", "LlamaEmbedder", "quantize"]
