"""Every configuration key: its type, default, bounds and meaning.

``llm_manager.yaml``, the environment and docs/configuration.md all follow this
schema. The sections `gpu` and `engine` take what a model may override from
``registry.load_settings``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from llm_manager.config.sections.access import (
    AuthSection,
    LimitsSection,
    MediaSection,
    OidcSection,
    UpstreamsSection,
)
from llm_manager.config.sections.records import (
    AuditSection,
    CaptureSection,
    LoggingSection,
    MetricsSection,
    NoticesSection,
    UsageSection,
)
from llm_manager.config.sections.running_models import (
    CacheSection,
    DownloadsSection,
    EngineSection,
    GenerationSection,
    ModelsSection,
    NodesSection,
    RpcSection,
)
from llm_manager.config.sections.serving import (
    ApiSection,
    BatchesSection,
    DatabaseSection,
    FilesSection,
    HttpsSection,
    RedisSection,
    ServerSection,
)
from llm_manager.lib.config_sections import Folder, Section
from registry.load_settings import GpuSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


class Config(Section):
    """The whole configuration: ``config.server.port`` is the key ``server.port``."""

    #: Django looks for this whenever ``settings.CONFIG`` is read. Pydantic takes 2 µs
    #: to find that it is missing, and a chat request reads the configuration ten times.
    _mask_wrapped: ClassVar[bool] = True

    data_dir: Folder = Field(
        default=Path("data"),
        validate_default=True,
        description="Database, private Redis socket, secret key, default models.",
    )
    models: ModelsSection = ModelsSection()
    downloads: DownloadsSection = DownloadsSection()
    generation: GenerationSection = GenerationSection()
    gpu: GpuSection = GpuSection()
    engine: EngineSection = EngineSection()
    rpc: RpcSection = RpcSection()
    nodes: NodesSection = NodesSection()
    cache: CacheSection = CacheSection()
    auth: AuthSection = AuthSection()
    oidc: OidcSection = OidcSection()
    limits: LimitsSection = LimitsSection()
    media: MediaSection = MediaSection()
    upstreams: UpstreamsSection = UpstreamsSection()
    server: ServerSection = ServerSection()
    api: ApiSection = ApiSection()
    files: FilesSection = FilesSection()
    batches: BatchesSection = BatchesSection()
    notices: NoticesSection = NoticesSection()
    https: HttpsSection = HttpsSection()
    database: DatabaseSection = DatabaseSection()
    redis: RedisSection = RedisSection()
    usage: UsageSection = UsageSection()
    audit: AuditSection = AuditSection()
    capture: CaptureSection = CaptureSection()
    metrics: MetricsSection = MetricsSection()
    logging: LoggingSection = LoggingSection()

    @property
    def models_dir(self) -> Path:
        """The models directory, absolute."""
        return self.models.dir or self.data_dir / "models"

    @property
    def files_dir(self) -> Path:
        """Where the contents of clients' files lie."""
        return self.data_dir / "files"

    @property
    def usage_dir(self) -> Path:
        """Where web processes note their requests before the database has them."""
        return self.data_dir / "usage"

    @property
    def cache_dir(self) -> Path:
        """The folder of cached prefixes on disk, absolute."""
        return self.cache.dir or self.data_dir / "cache"

    @property
    def logs_dir(self) -> Path:
        """The folder of the log's files, absolute."""
        return self.logging.dir or self.data_dir / "logs"


def _keys() -> Iterator[tuple[str, FieldInfo]]:
    for section, declared in Config.model_fields.items():
        kind = declared.annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            yield section, declared
            continue
        for name, field in kind.model_fields.items():
            yield f"{section}.{field.validation_alias or name}", field


#: Every key by its dotted name.
KEYS = dict(_keys())
