"""Models' rows by statements that are put together once: for what runs at every vote.

Django's compiler takes the better part of a millisecond for a statement, several times as long
as the database takes to answer it. Knows no signals and follows no relations: a statement names
its joins, and what it joins comes beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Field, Model

AnyModel = TypeVar("AnyModel", bound=Model)
Converters = list[tuple[int, list[Callable[..., Any]], Any]]


class Reading:
    """A SELECT whose ``{name}`` stands for all columns of the table that it calls ``name``.

    Called with the statement's values, it gives a row's models side by side, in the order in
    which they are named here; None for one that an outer join did not find.
    """

    def __init__(self, statement: str, **models: type[Model]) -> None:
        self.template = statement
        self._models = models

    @property
    def statement(self) -> str:
        return _filled(self.template, tuple(self._models.items()))

    def __call__(self, *values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(self.statement, values)
            rows = cursor.fetchall()
        return [tuple(self._split(row)) for row in rows]

    def first(self, *values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self(*values)
        return rows[0] if rows else None

    def _split(self, row: Sequence[Any]) -> list[Model | None]:
        instances: list[Model | None] = []
        start = 0
        for model in self._models.values():
            names, converters = _columns(model)
            values = list(row[start : start + len(names)])
            start += len(names)
            if values[0] is None:  # the primary key
                instances.append(None)
                continue
            for place, functions, column in converters:
                for convert in functions:
                    values[place] = convert(values[place], column, connection)
            instances.append(model.from_db(connection.alias, names, values))
        return instances


def insert(instance: AnyModel) -> AnyModel:
    """Store a new row; its primary key is then the instance's. Raises IntegrityError."""
    statement, fields = _insertion(type(instance))
    values = [
        field.get_db_prep_save(field.pre_save(instance, True), connection) for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        instance.pk = cursor.fetchone()[0]
    instance._state.adding = False
    instance._state.db = connection.alias
    return instance


def update(instance: Model, names: Sequence[str], *, only: str = "true") -> bool:
    """Write these fields of a row, ``only`` where that condition holds. False where it does not."""
    statement, fields = _update(type(instance), tuple(names), only)
    values = [
        field.get_db_prep_save(getattr(instance, field.attname), connection) for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, instance.pk])
        return bool(cursor.rowcount > 0)


@cache
def _filled(template: str, models: tuple[tuple[str, type[Model]], ...]) -> str:
    columns = {
        name: ", ".join(f"{name}.{field.column}" for field in model._meta.concrete_fields)
        for name, model in models
    }
    return template.format(**columns)


@cache
def _columns(model: type[Model]) -> tuple[list[str], Converters]:
    """The fields of a row by name, and what turns the database's values into Python's."""
    converters: Converters = []
    for place, field in enumerate(model._meta.concrete_fields):
        column = field.get_col(model._meta.db_table)
        functions = [
            *connection.ops.get_db_converters(column),
            *column.get_db_converters(connection),
        ]
        if functions:
            converters.append((place, functions, column))
    return [field.attname for field in model._meta.concrete_fields], converters


@cache
def _insertion(model: type[Model]) -> tuple[str, list[Field[Any, Any]]]:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(str(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    table = model._meta.db_table
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id", fields  # noqa: S608


@cache
def _update(
    model: type[Model], names: tuple[str, ...], only: str
) -> tuple[str, list[Field[Any, Any]]]:
    fields = [model._meta.get_field(name) for name in names]
    setting = ", ".join(f"{field.column} = %s" for field in fields)  # type: ignore[union-attr]
    table = model._meta.db_table
    return f"UPDATE {table} SET {setting} WHERE id = %s AND {only}", fields  # type: ignore[return-value]  # noqa: S608
