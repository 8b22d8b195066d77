"""The OpenAPI document is the router's: the same operations, every reference resolved, every refusal catalogued."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from telemed.errors import TelemedError
from telemed.http import keys


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


async def test_the_document_has_exactly_the_routes(server: Any) -> None:
    client = await server.anonymous()
    status, document = await client.get("/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    routed = {
        (row.method, re.sub(r"\{(\w+)(?::[^{}]*)?\}", r"{\1}", row.path))
        for row in server.app[keys.ROUTES].rows.values() if row.action != "page.read"
    }
    assert documented == routed


async def test_every_reference_resolves_and_every_model_forbids_what_is_not_documented(server: Any) -> None:
    client = await server.anonymous()
    _, document = await client.get("/openapi.json")
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    open_ones = [name for name, schema in schemas.items()
                 if schema.get("type") == "object" and schema.get("additionalProperties") is not False]
    assert open_ones == ["Error"]


async def test_every_operation_says_who_may_and_how_it_refuses(server: Any) -> None:
    client = await server.anonymous()
    _, document = await client.get("/openapi.json")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], path
            assert set(re.findall(r"\{(\w+)\}", path)) == {
                one["name"] for one in operation["parameters"] if one["in"] == "path"
            }
            if operation["security"]:
                assert {"401", "403"} <= set(operation["responses"]), (method, path)
            assert "503" in operation["responses"]


def every(kind: type[TelemedError]) -> set[type[TelemedError]]:
    return {kind}.union(*(every(one) for one in kind.__subclasses__()))


def test_every_refusal_has_a_sentence_in_both_languages() -> None:
    catalogues = {
        language: json.loads(resources.files("telemed_web").joinpath(f"catalogues/{language}.json").read_text("utf-8"))
        for language in ("en", "bg")
    }
    codes = {error.code for error in every(TelemedError) if error.__module__.startswith("telemed")}
    assert len(codes) > 20
    missing = {language: sorted(code for code in codes if f"error.{code}" not in catalogue)
               for language, catalogue in catalogues.items()}
    assert missing == {"en": [], "bg": []}
