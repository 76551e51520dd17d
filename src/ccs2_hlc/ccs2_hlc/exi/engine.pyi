from typing import Any

from .compiler import Root, Tables

class Grammar:
    schema: str
    document: list[Root]
    fragment: list[Root]

    def __init__(self, schema: str, tables: Tables) -> None: ...
    def decode(
        self, data: bytes, fragment: bool = ..., validate: bool = ..., string_table: bool = ...,
        trace: list[tuple[int, int, int, str, Any]] | None = ...,
    ) -> tuple[Any, int, int]: ...
    def encode_root(self, message: Any, validate: bool = ...) -> bytes: ...
    def encode_fragment(self, code: int, value: Any, validate: bool = ...) -> bytes: ...
