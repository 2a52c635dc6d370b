"""The settings of the service: flags, or environment variables RETRIEVAL_HOST, RETRIEVAL_PORT, ..."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s?#@]+)$")]  # scheme, host, perhaps port, and no path
Served = Annotated[str, Field(pattern=r"^[\w.-]+(=.+)?$")]


class Settings(BaseSettings):
    """Recommendations over HTTP from the model folders that `dvc repro` writes."""

    model_config = SettingsConfigDict(env_prefix="RETRIEVAL_", extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0 picks a free one")
    workers: Annotated[int, Field(ge=1)] = Field(1, description="number of processes, each with one thread")
    origin: list[Origin] = Field([], description="other origins whose pages may ask, such as https://example.org")
    root_path: Annotated[str, Field(pattern=r"^(/[\w.~-]+)*$")] = Field(
        "", description="path under which a proxy shows the service, such as /reco-api"
    )
    models: Path = Field(Path("models"), description="folder with the model folders and the catalogue")
    serve: list[Served] = Field(
        [], description="models to serve: NAME, or NAME=FOLDER for another version; all in the folder if empty"
    )
    default: str = Field("dssm", description="model that the page shows first; clients read it from /models")
    fallback: str = Field("popular", description="model for unknown users")
    backend: Literal["exact", "hnsw", "ivf", "milvus"] = Field("exact", description="how the items are searched")
    database: str = Field("models.db", description="for backend=milvus: URL, or folder NAME.db of Milvus Lite")
    database_token: SecretStr = Field(SecretStr(""), description="for backend=milvus: user:password or API key")
    metrics: Path = Field(Path("metrics/metrics.json"), description="metrics to show on the page")
    token: SecretStr = Field(SecretStr(""), description="bearer token of POST /reload and /items; disabled if empty")
    body: Annotated[int, Field(ge=1)] = Field(262144, description="maximum size of a request body in bytes")
    timeout: Annotated[float, Field(gt=0)] = Field(10.0, description="maximum seconds per request and for a shutdown")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level to log; from warning on, requests are not logged"
    )
    revision: str = Field("", description="git revision for GET /version; that of the work tree if empty")
    worker_timeout: Annotated[int, Field(ge=1)] = Field(
        120, description="for workers > 1: seconds without a sign of life after which a worker is replaced"
    )
