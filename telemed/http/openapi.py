"""The OpenAPI 3.1 document, made from the route table and the pydantic models: it cannot drift from them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import telemed
from telemed.errors import (
    CrossSite,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    TelemedError,
)
from telemed.http.route import Route
from telemed.identity.policy import POLICY

_REF = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "params"],
            "properties": {
                "code": {"type": "string"},
                "params": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
            },
        }
    },
}


def document(rows: Iterable[Route]) -> dict[str, Any]:
    """The document of these routes."""
    shown = [row for row in rows if row.action != "page.read"]
    models = {model for row in shown for model in (row.request, row.response) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    schemas: dict[str, Any] = {**definitions.get("$defs", {}), "Error": _ERROR}
    for row in shown:
        if row.query is not None:
            schemas |= row.query.model_json_schema(ref_template=_REF).get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for row in shown:
        path = re.sub(r"\{(\w+)(?::[^{}]*)?\}", r"{\1}", row.path)
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Telemed", "version": telemed.__version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "sign_in": {"type": "apiKey", "in": "cookie", "name": "telemed",
                            "description": "__Host-telemed over https"},
                "station_key": {"type": "http", "scheme": "bearer"},
                "guest_seat": {"type": "apiKey", "in": "cookie", "name": "telemed-seat-{as}",
                               "description": "__Host-telemed-seat-{as} over https; the query names the seat by `as`"},
            },
        },
    }


def _operation(row: Route, path: str) -> dict[str, Any]:
    rule = POLICY[row.action]
    security: list[dict[str, list[str]]] = []
    if not rule.anonymous:
        security += [{"sign_in": []}] if rule.roles else []
        security += [{"station_key": []}] if rule.station is not None else []
        security += [{"guest_seat": []}] if rule.guests else []
    operation: dict[str, Any] = {
        "operationId": f"{row.method.lower()} {path}",
        "summary": row.summary,
        "tags": [row.action.partition(".")[0]],
        "security": security,
        "parameters": _parameters(row, path),
        "responses": {str(row.status): _success(row), **_refusals(row)},
    }
    if row.request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(row.request)}}}
    return operation


def _success(row: Route) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(row.status).phrase}
    if row.response is not None:
        described["content"] = {"application/json": {"schema": _ref(row.response)}}
    return described


def _refusals(row: Route) -> dict[str, Any]:
    """Statuses with the codes that bring them; several codes may share one status."""
    usual: list[type[TelemedError]] = [InvalidRequest, DatabaseUnavailable, TelemedError]
    if not POLICY[row.action].anonymous:
        usual += [NotSignedIn, Forbidden]
    if row.method not in ("GET", "HEAD"):
        usual.append(CrossSite)
    if "{" in row.path:
        usual.append(NotFound)
    codes: dict[int, list[str]] = {}
    for error in (*usual, *row.errors):
        if error.code not in codes.setdefault(error.status, []):
            codes[error.status].append(error.code)
    schema = {"$ref": _REF.format(model="Error")}
    return {
        str(status): {"description": ", ".join(named), "content": {"application/json": {"schema": schema}}}
        for status, named in sorted(codes.items())
    }


def _parameters(row: Route, path: str) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    rule = POLICY[row.action]
    if rule.guests and not rule.anonymous:
        seat = {"type": "string", "format": "uuid", "description": "The guest's seat; without it the sign-in counts"}
        parameters.append({"name": "as", "in": "query", "required": False, "schema": seat})
    if row.query is not None:
        schema = row.query.model_json_schema(ref_template=_REF)
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": body}
            for name, body in schema["properties"].items()
        ]
    return parameters


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
