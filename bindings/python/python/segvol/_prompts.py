"""Prompts as Python writes them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from segvol._errors import UsageError


def as_json(objects: Any, single: "dict[str, Any]") -> "tuple[str, bool]":
    """Prompts as the runtime reads them, and whether there was one alone."""
    given = {name: value for name, value in single.items() if value is not None}
    if objects is not None and given:
        raise UsageError(f"{next(iter(given))}: give objects, or the prompts of one object, not both")
    if objects is None and not given:
        raise UsageError('nothing to segment: give text="liver", points, box, or a list of objects')
    if objects is None:
        objects = given
    is_one = isinstance(objects, Mapping)
    try:
        return json.dumps([objects] if is_one else objects, default=_number, allow_nan=False), is_one
    except ValueError as error:
        raise UsageError(f"prompts: expected finite numbers, and no list inside itself: {error}") from None


def _number(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
        return list(value)
    raise UsageError(f"prompts: expected text, numbers and lists, found {type(value).__name__}")
