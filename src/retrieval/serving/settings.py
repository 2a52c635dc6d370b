"""How the service is started: flags, or environment variables RETRIEVAL_HOST, RETRIEVAL_PORT, ..."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Recommendations over HTTP from the model folders of `dvc repro`."""

    model_config = SettingsConfigDict(env_prefix="RETRIEVAL_", extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0: any free one")
    workers: Annotated[int, Field(ge=1)] = Field(1, description="processes, a thread each")
    models: Path = Field(Path("models"), description="folder of the model folders and the catalogue")
    serve: list[str] = Field([], description="models to serve; none: all that are there")
    default: str = Field("dssm", description="the model that the page and a client should ask first")
    fallback: str = Field("popular", description="the model for users who are not known")
    backend: Literal["exact", "hnsw", "ivf", "milvus"] = Field("exact", description="what searches the items' vectors")
    database: str = Field("models.db", description="of backend milvus: its URL, or a file for the embedded form")
    database_token: SecretStr = Field(SecretStr(""), description="of backend milvus: user:password or API key")
    metrics: Path = Field(Path("metrics/metrics.json"), description="the models' metrics, shown on the page")
    token: SecretStr = Field(SecretStr(""), description="what POST /reload asks for; without one it is off")
    body: Annotated[int, Field(ge=1)] = Field(262144, description="bytes of a request's body, at most")
    timeout: Annotated[float, Field(gt=0)] = Field(10.0, description="seconds for a request, and to drain at the end")
