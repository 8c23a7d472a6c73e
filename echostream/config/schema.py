"""The JSON Schema of the configuration (draft 2020-12): editors complete, check and help with it."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any, Final

from echostream.config.base import Section
from echostream.config.describe import raw_schema
from echostream.config.load import SCHEMA_KEY
from echostream.config.models import Config

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, with the text under each field of the models as its description."""
    schema: dict[str, Any] = copy.deepcopy(raw_schema())
    for name, model in models().items():
        node = schema if name == "Config" else schema["$defs"][name]
        for field, text in field_docs(model).items():
            node["properties"][field]["description"] = text
            node["properties"][field].pop("title", None)  # a title made of the name says nothing
    properties = {
        SCHEMA_KEY: {
            "type": "string",
            "description": "Where an editor finds this schema.",
        }
    }
    return {
        "$schema": DIALECT,
        **schema,
        "title": "EchoStream configuration",
        "properties": properties | schema["properties"],
    }


@cache
def models() -> dict[str, type[Section]]:
    """Every model of the configuration by its name, Config first."""
    found: dict[str, type[Section]] = {}
    _collect(Config, found)
    return found


def _collect(annotation: object, found: dict[str, type[Section]]) -> None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        if annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for field in annotation.model_fields.values():
                _collect(field.annotation, found)
        return
    for argument in getattr(annotation, "__args__", ()):
        _collect(argument, found)


@cache
def field_docs(model: type[Section]) -> dict[str, str]:
    """The text that stands under each field in the source of a model, on one line.

    pydantic can do this when a model is made; that costs every start of the gateway a third of the room's
    import time for what only this command needs.
    """
    docs: dict[str, str] = {}
    for base in model.__bases__:
        if issubclass(base, Section) and base is not Section:
            docs |= field_docs(base)
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for statement, following in pairwise(body):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs
