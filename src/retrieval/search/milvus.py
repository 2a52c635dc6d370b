"""A model's items in Milvus, with the interface of an index: embedded (Milvus Lite, a folder) or a cluster's URL."""

import logging
import time
from typing import TYPE_CHECKING

from retrieval.errors import Problem
from retrieval.search.indexes import HNSW

import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

if TYPE_CHECKING:
    from retrieval.search.backends import Database

BATCH = 10_000  # points per insert
FILL_SECONDS = 600  # how long to wait for another process that fills the collection

HINT = "; expected a folder that no other process has open; if it is damaged, delete it: a start makes a new one"

log = logging.getLogger("retrieval.service")
LIBRARIES = ("faiss.loader", "grpc._server", "milvus_lite.server_manager", "pymilvus.decorators")


class Milvus:
    """The collection `name` of the points [items, e].

    The first process that finds no such collection creates and fills it; the others wait until it is full. In Milvus
    Lite there are no others: what is not full was left by a process that was killed, and is made anew.
    """

    def __init__(self, database: "Database", name: str, points: np.ndarray, options: HNSW) -> None:
        self._name, self._options, self._timeout = name, options, database.timeout
        for library in LIBRARIES:
            logging.getLogger(library).setLevel(logging.CRITICAL)  # else they log a traceback beside each `Problem`
        try:
            self._client = MilvusClient(database.url, token=database.token)
            if database.is_embedded and self._client.has_collection(name) and self._count() < len(points):
                self._client.drop_collection(name)
            if not self._client.has_collection(name):
                self._create(points)
            self._wait(len(points))
            self._client.load_collection(name)
        except MilvusException as error:
            hint = HINT if database.is_embedded else ""
            raise Problem(f"vector database {database.url}: {error.message}{hint}") from None

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Rows of items [n, count] for queries [n, e], -1 where fewer are found or the database does not answer."""
        rows = np.full((len(queries), count), -1, np.int64)
        search = {"metric_type": "L2", "params": {"ef": max(count, self._options.search)}}
        try:
            answer = self._client.search(
                self._name, data=queries.tolist(), limit=count, search_params=search, timeout=self._timeout
            )
        except MilvusException as error:
            log.error("vector database: %s", error.message)
            return rows
        for row, hits in zip(rows, answer, strict=True):
            row[: len(hits)] = [hit["id"] for hit in hits]
        return rows

    def _create(self, points: np.ndarray) -> None:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=points.shape[1])
        graph = {"M": self._options.links, "efConstruction": self._options.build}
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="L2", params=graph)
        try:
            self._client.create_collection(self._name, schema=schema, index_params=index)
        except MilvusException:
            if not self._client.has_collection(self._name):
                raise
            return  # another process created it first and fills it
        for start in range(0, len(points), BATCH):
            block = points[start : start + BATCH].tolist()
            self._client.insert(self._name, [{"id": start + i, "vector": row} for i, row in enumerate(block)])
        self._client.flush(self._name)

    def _wait(self, count: int) -> None:
        end = time.monotonic() + FILL_SECONDS
        while self._count() < count:
            if time.monotonic() > end:
                raise Problem(f"vector database: collection {self._name} is incomplete after {FILL_SECONDS} s; drop it")
            time.sleep(0.2)

    def _count(self) -> int:
        return int(self._client.get_collection_stats(self._name)["row_count"])
