"""Groups of options: a command takes a dataclass where its user sees an option for each field."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer, which knows single options alone.

    A parameter whose type is a dataclass gives way to its fields, each declared as an option is:
    an `Annotated` type, and a default unless it is required. The command receives the dataclass.

    Raises:
        ValueError: two options would have one name.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = signature.parameters.values()
    types = {p.name: p.annotation for p in parameters if isinstance(p.annotation, type)}
    groups = {name: found for name, found in types.items() if is_dataclass(found)}

    @wraps(command)
    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    options = [option for parameter in parameters for option in _options_of(parameter)]
    expanded.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return expanded


def _options_of(parameter: Parameter) -> list[Parameter]:
    """Return the fields of a group, else the parameter; by keyword, so that any order will do."""
    group = parameter.annotation
    if not is_dataclass(group):
        return [parameter.replace(kind=Parameter.KEYWORD_ONLY)]
    types = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=types[field.name],
        )
        for field in fields(group)
    ]
