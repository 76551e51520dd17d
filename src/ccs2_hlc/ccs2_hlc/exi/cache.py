"""``functools.cache`` with the signature kept; mypy takes classes for unhashable otherwise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

_P = ParamSpec('_P')
_R = TypeVar('_R')


def cached(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Remember every result of ``function``."""
    return cast(Callable[_P, _R], functools.cache(function))
