"""Named tuples that are quick to define.

``typing.NamedTuple`` takes 150 microseconds for a class, because it compiles the annotation of each
field, and a constructor. The two processes have more than a hundred such classes, and few have an
instance before the first request is answered. Here a class takes a tenth of that, and compiles its
constructor for its first instance; from then on it is what it would have been. A type checker sees
no difference.

Annotations have to be strings: ``from __future__ import annotations``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414 - for others
else:
    from _collections import _tuplegetter  # what namedtuple reads its fields with

    class _Definition(type):
        """Makes fields of the annotations."""

        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
            fields = tuple(space.get("__annotations__", ()))
            defaults = {field: space.pop(field) for field in fields if field in space}
            space |= {field: _tuplegetter(at, None) for at, field in enumerate(fields)}
            space |= {"__slots__": (), "__match_args__": fields}
            space |= {"_fields": fields, "_field_defaults": defaults}
            return super().__new__(cls, name, bases, space)

    class NamedTuple(tuple, metaclass=_Definition):  # noqa: SLOT001 - it has them
        """What classes of named tuples inherit from."""

        def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
            """Make the first instance, and compile what makes all others."""
            fields = "".join(f"{field}, " for field in cls._fields)
            source = f"lambda _cls, {fields}: _new(_cls, ({fields}))"
            new = eval(source, {"_new": tuple.__new__, "__builtins__": {}})  # noqa: S307 - ours
            new.__name__ = new.__qualname__ = cls.__name__
            new.__defaults__ = tuple(cls._field_defaults.values())
            cls.__new__ = staticmethod(new)
            return new(cls, *args, **kwargs)

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            fields = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({fields})"

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, /, **changes: Any) -> Self:
            return type(self)(**{**self._asdict(), **changes})
