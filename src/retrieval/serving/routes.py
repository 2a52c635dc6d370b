"""The routes of the service."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from retrieval.errors import Problem, choices
from retrieval.ids import convert
from retrieval.search.filters import frequent_values
from retrieval.serving import schemas
from retrieval.serving.processes import reload_all
from retrieval.serving.reading import refuse
from retrieval.serving.schemas import MAX_K, MAX_TEXT, Id
from retrieval.serving.service import Service, demographics, describe
from retrieval.serving.store import CATALOGUE

import prometheus_client
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, multiprocess
from starlette.convertors import CONVERTOR_TYPES, Convertor

PAGE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class IdConvertor(Convertor[str]):
    """An id in a path: all characters up to what follows, including slashes and line breaks."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The id as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The id as it is."""
        return value


CONVERTOR_TYPES["id"] = IdConvertor()
Search = Annotated[str, Query(max_length=MAX_TEXT)]
Token = Annotated[str, Header(alias="authorization")]
K = Annotated[int, Query(ge=1, le=MAX_K, description="maximum number of items in the answer")]

log = logging.getLogger("retrieval.service")


class StrictRoute(APIRoute):
    """A route that refuses query parameters that it does not have, or that appear twice."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, after the check."""
        handle, names = super().get_route_handler(), [parameter.alias for parameter in self.dependant.query_params]

        async def check(request: Request) -> Response:
            seen: set[str] = set()
            for name, _ in request.query_params.multi_items():
                if name not in names:
                    listed = choices(name[:MAX_TEXT], names) if names else "expected none"
                    refuse(422, f"unknown query parameter {name[:MAX_TEXT]!r}; {listed}")
                if name in seen:
                    refuse(422, f"query parameter {name!r} appears twice")
                seen.add(name)
            return await handle(request)

        return check


router = APIRouter(
    route_class=StrictRoute, responses={status: {"model": schemas.Reason} for status in (404, 413, 422, 503)}
)


def _service(request: Request) -> Service:
    return request.app.state.service


def _authorize(service: Service, authorization: str) -> None:
    """Refuse a request whose header Authorization has not the token of the service; the scheme is in any case."""
    token = service.settings.token.get_secret_value()
    scheme, _, given = authorization.partition(" ")
    if not token or scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), token.encode()):
        refuse(401, "expected the header Authorization: Bearer TOKEN with the token of the service")


def _json(answer: dict[str, Any]) -> Response:
    """The answer as JSON, without validating what the service has just built."""
    return Response(json.dumps(answer, allow_nan=False), media_type="application/json")


@router.get("/health", tags=["operation"])
async def health() -> schemas.Status:
    """The process is alive."""
    return schemas.Status(status="alive")


@router.get("/ready", tags=["operation"])
async def ready() -> schemas.Status:
    """The models are loaded. The port opens only after that."""
    return schemas.Status(status="ready")


@router.get("/version", tags=["operation"])
async def version(request: Request) -> schemas.Release:
    """The project's version, the git revision, and the hashes of the models."""
    service = _service(request)
    cards = dict(service.store.cards)
    return schemas.Release(**service.about, catalogue=cards.pop(CATALOGUE), models=cards)


@router.get("/models", tags=["catalogue"])
async def models(request: Request) -> schemas.Models:
    """The models with their metrics, and the demographics that a profile may have."""
    service = _service(request)
    current, metrics, settings = await service.current(), service.metrics(), service.settings
    infos = [
        schemas.ModelInfo(
            name=name,
            backend="exact" if each.nearest is None else settings.backend,
            profiles=each.fold_in is not None,
            similar=each.compares_items,
            users=each.model.left.shape[0],
            items=each.right.shape[0],
            new_items=each.has_new,
            dimensions=each.model.right.shape[1],
            metrics=metrics.get(name, {}),
        )
        for name, each in current.models.items()
    ]
    return schemas.Models(
        default=settings.default,
        fallback=settings.fallback,
        version=current.version,
        models=infos,
        demographics=current.catalogue.user_columns,
    )


@router.get("/reco/{model}/{user_id:id}", tags=["recommendations"], response_model=schemas.Recommendations)
async def recommend(
    request: Request, model: str, user_id: Id, k: K = 10, exclude_seen: bool = True, fallback: bool = False
) -> Response:
    """The best items of a user in the data. With `fallback`, unknown users get the items of the fallback model."""
    service = _service(request)
    return _json(
        await service.call(service.recommend, await service.current(), model, user_id, k, exclude_seen, fallback)
    )


@router.post("/reco/{model}", tags=["recommendations"], response_model=schemas.Recommendations)
async def recommend_to(request: Request, model: str, profile: schemas.Profile) -> Response:
    """The best of the items that the body allows, for a user in the data or any other, for whom a DSSM runs its tower.

    Filters never shorten the list while there are items: what is left is searched exactly.
    """
    service = _service(request)
    current = await service.current()
    return await asyncio.to_thread(lambda: _json(service.recommend_to(current, model, profile)))


@router.post("/reco/{model}/batch", tags=["recommendations"], response_model=schemas.BatchAnswer)
async def recommend_to_all(request: Request, model: str, batch: schemas.UserBatch) -> Response:
    """The best items of up to 1,000 users of the data, in one search: each list is that of a single request.

    A user who is not in the data gets a reason in place of a list.
    """
    service = _service(request)
    current = await service.current()

    def work() -> Response:
        lists = service.recommend_to_all(current, model, batch)
        # List by list: encoding keeps other threads waiting.
        text = ", ".join(json.dumps(each, allow_nan=False) for each in lists)
        return Response(f'{{"lists": [{text}]}}', media_type="application/json")

    return await asyncio.to_thread(work)


@router.get("/similar/{model}/{item_id:id}", tags=["recommendations"], response_model=schemas.Similar)
async def similar(request: Request, model: str, item_id: Id, k: K = 10) -> Response:
    """The items most similar to an item."""
    service = _service(request)
    return _json(await service.call(service.similar, await service.current(), model, item_id, k))


@router.get("/users", tags=["catalogue"])
async def users(request: Request, query: Search = "", k: K = 10) -> list[int | str]:
    """Ids of users that start with the query; without a query, random users."""
    return (await _service(request).current()).catalogue.find_users(query, k)


@router.get("/users/{user_id:id}/history", tags=["catalogue"])
async def history(request: Request, user_id: Id, k: K = 20) -> schemas.User:
    """A user's demographics and the k most recent items of the history."""
    catalogue = (await _service(request).current()).catalogue
    user = catalogue.user_row(user_id)
    if user is None:
        refuse(404, f"user {user_id} is not in the data")
    rows, time = (values[::-1][:k].tolist() for values in catalogue.history(user))
    dates = [datetime.fromtimestamp(second, UTC) if catalogue.timed else None for second in time]
    visits = [schemas.Visit(**describe(catalogue, row), date=date) for row, date in zip(rows, dates, strict=True)]
    watched = int(catalogue.indptr[user + 1] - catalogue.indptr[user])
    return schemas.User(
        user_id=convert(user_id, catalogue.users),
        demographics=demographics(catalogue, user),
        watched=watched,
        history=visits,
    )


@router.get("/items", tags=["catalogue"])
async def items(request: Request, query: Search = "", k: K = 20) -> list[schemas.Item]:
    """Items whose title contains the text, the most watched first."""
    service = _service(request)
    return await service.call(service.find, await service.current(), query, k)


@router.get("/items/columns", tags=["catalogue"])
async def columns(request: Request) -> list[schemas.ItemColumn]:
    """The columns of items that `where` can filter by, and of each its 100 most frequent values."""
    catalogue = (await _service(request).current()).catalogue
    return [
        schemas.ItemColumn(column=column, values=frequent_values(catalogue, column), count=len(values))
        for column, values in catalogue.item_columns.items()
    ]


@router.post("/items", tags=["catalogue"], responses={401: {"model": schemas.Reason}})
async def add_items(request: Request, body: schemas.NewItems, authorization: Token = "") -> schemas.Added:
    """Add items by their features, for the models that can score them, until a reload brings other models.

    An item that was added before is replaced. Up to 1,000 items per request, 10,000 in all.
    """
    service = _service(request)
    _authorize(service, authorization)
    return schemas.Added(**await service.add(body.items))


@router.post("/reload", tags=["operation"], responses={401: {"model": schemas.Reason}, 409: {"model": schemas.Reason}})
async def reload(request: Request, authorization: Token = "") -> schemas.Version:
    """Read the model folders again. If one is broken, the old models stay."""
    service = _service(request)
    _authorize(service, authorization)
    try:
        changed = await service.reload()
    except Problem as problem:
        log.error("not reloaded: %s", problem)
        refuse(409, "the model folders are invalid, see the log; the old models stay")
    if service.settings.workers > 1:
        reload_all()
    return schemas.Version(version=service.store.version, changed=changed)


@router.get("/metrics", tags=["operation"])
async def metrics(request: Request) -> Response:
    """Prometheus metrics of all workers."""
    registry = prometheus_client.REGISTRY
    if _service(request).settings.workers > 1:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return Response(prometheus_client.generate_latest(registry), media_type=prometheus_client.CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The demo page."""
    return FileResponse(PAGE / "page.html", headers={"content-security-policy": POLICY})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The requests and answers, as a page without scripts."""
    return HTMLResponse(request.app.state.reference, headers={"content-security-policy": POLICY})


@router.get("/page.{kind}", include_in_schema=False)
async def part_of_page(kind: Literal["js", "css"]) -> FileResponse:
    """The script and the style of the page."""
    return FileResponse(PAGE / f"page.{kind}")
