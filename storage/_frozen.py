"""The base of the frozen values: frozen dataclasses without `inspect`, which is a fifth of the cost of importing this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform

    @dataclass_transform(frozen_default=True)
    class _Dataclass:
        """Tells type checkers how a subclass is made."""

else:
    _Dataclass = object


class Frozen(_Dataclass):
    """A value that is made, compared, hashed and shown by the fields that its class annotates, in their order."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        kinds = {name: kind for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar")}
        cls.__match_args__ = tuple(kinds)  # type: ignore[misc]
        # Written as text, so that it takes just these arguments, and says so in its signature.
        arguments = ", ".join(f"{name}=cls.{name}" if hasattr(cls, name) else name for name in kinds)
        fields = ", ".join(f"{name}={name}" for name in kinds)
        made: dict[str, Any] = {"cls": cls}
        exec(f"def __init__(self, {arguments}):\n self.__dict__.update({fields})\n self.__post_init__()", made)  # noqa: S102
        init = made["__init__"]
        init.__annotations__, init.__module__ = {**kinds, "return": "None"}, cls.__module__
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        type.__setattr__(cls, "__init__", init)  # not by an assignment, from which type checkers would infer its type

    def __post_init__(self) -> None:
        """Checks the fields."""

    def __setattr__(self, name: str, value: object) -> None:
        del value
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be set")

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
