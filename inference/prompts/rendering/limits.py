"""What one rendering may take."""

from __future__ import annotations

#: Seconds of the processor for one job. The longest conversations of the largest
#: templates take a tenth.
CPU_SECONDS = 1.0
#: Bytes of memory of a process. The interpreter and Jinja take 20 MiB; a body has at
#: most some dozen MiB, of which a template may make several copies.
MEMORY_BYTES = 768 * 1024 * 1024
