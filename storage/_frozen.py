"""The base of the values that never change. `dataclasses` would load `inspect`, a fifth of the cost of importing this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Frozen"]


class Frozen:
    """Equal, hashed and shown by its fields, which ``__match_args__`` names and ``__init__`` sets, each once."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ or name not in self.__match_args__:
            raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be set")
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self.__match_args__))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={self.__dict__[name]!r}' for name in self.__match_args__)})"

    def __replace__(self, **changes: Any) -> Self:
        """A copy with some fields changed: what ``copy.replace`` calls (Python 3.13)."""
        return type(self)(**{**self.__dict__, **changes})
