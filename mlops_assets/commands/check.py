"""`mlops check`: everything that a use case declares, examined without running it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands.batch_check import batch_problems
from mlops_assets.commands.request_costs import request_costs
from mlops_assets.commands.task import command
from mlops_assets.errors import WorkError
from mlops_assets.spec.files import COMPONENT, TABLE, documents
from mlops_assets.spec.maturity import judged_age
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.sources import AssetSource
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.typed_columns import Column
from resources.use_case_folders import use_case_folder, use_case_folders

if TYPE_CHECKING:
    from mlops_assets.components.use_case import LoadedUseCase


@dataclass(frozen=True)
class Complaint:
    """What is wrong, and where; one that only waits (a source that is not there yet) is no error."""

    where: str
    sentence: str
    waits: bool = False


def add(app: typer.Typer) -> None:
    """Add `check` to the commands."""
    command(app, "check", writes=False)(_check)


def _check(
    use_case: Annotated[str, typer.Argument(help="one use case only; all by default")] = "",
) -> int:
    """examine specs, sources, columns and calendars of the use cases without running anything"""
    from mlops_assets.components.use_case import UseCaseError, load_use_case

    folders = [use_case_folder(use_case)] if use_case else use_case_folders()
    wrong = 0
    for folder in folders:
        try:
            loaded = load_use_case(folder)
        except UseCaseError as error:
            wrong += 1
            print(f"error {folder.name}: {error}")
            continue
        for line in summary_lines(loaded):
            print(line)
        for complaint in complaints(loaded):
            wrong += not complaint.waits
            print(f"{'waits' if complaint.waits else 'error'} {complaint.where}: {complaint.sentence}")
    print("everything fits" if not wrong else f"{wrong} mistake{'s' if wrong > 1 else ''}")
    return 1 if wrong else 0


def summary_lines(loaded: "LoadedUseCase") -> Iterator[str]:
    """What is there, and what follows from the specs alone."""
    one = loaded.use_case
    tables = f"{len(loaded.tables)} table{'s' if len(loaded.tables) != 1 else ''}"
    models = f"{len(loaded.specs)} model{'s' if len(loaded.specs) != 1 else ''}"
    until = f"to {one.calendar.end}" if one.calendar.end else "without an end"
    said = f"{one.calendar.cadence} from {one.calendar.start} {until}, {one.calendar.timezone}, clock: {one.clock}"
    yield f"ok    {one.name}: {tables}, {models}; {said}"
    for spec in loaded.specs.values():
        days = judged_age(spec).total_seconds() / 86_400
        yield (
            f"ok    {spec.name}: first trained when {spec.window.minimum_days} days are there, judged on the newest "
            f"{spec.window.hold_out_days} days whose labels count; the newest of them is {days:g} days old"
        )
        if spec.deployment.enabled:
            yield from (f"slow  {spec.name}: {cost}" for cost in request_costs(spec))


def complaints(loaded: "LoadedUseCase") -> Iterator[Complaint]:
    """What is wrong with sources and columns, in the order of the files."""
    from mlops_assets.stages.errors import NotYetThereError
    from mlops_assets.stages.sources import refuse_unfit_source

    written = list(documents(loaded.folder))
    tables: dict[str, TableSpec] = {}
    for one in written:
        if one.kind == TABLE:
            table = one.table()
            tables[f"{loaded.use_case.name}/{table.name}"] = table
            try:
                refuse_unfit_source(table, loaded.folder.path)
            except NotYetThereError as error:
                yield Complaint(one.at("source"), str(error), waits=True)
            except WorkError as error:
                yield Complaint(one.at("source"), f"{error}{_made_by_another(table)}")
    known = {table.key: table.expected.schema for table in loaded.tables}
    whole = {table.key for table in loaded.tables if table.calendar is None}
    for one in written:
        if one.kind == COMPONENT and (spec := loaded.specs.get(one.attributes["name"])):
            yield from _of_a_model(spec, one.at, known, tables)
            for problem in batch_problems(spec, known, whole):
                yield Complaint(one.at("batch"), problem)


def _made_by_another(spec: TableSpec) -> str:
    """What to do first where another asset makes what is read."""
    if not isinstance(spec.source, AssetSource):
        return ""
    return f"; {spec.source.asset} makes what is read here: materialize that first, if it never was"


def _of_a_model(
    spec: ModelSpec,
    at: Callable[..., str],
    known: Mapping[str, Mapping[str, Any]],
    declared: Mapping[str, TableSpec],
) -> Iterator[Complaint]:
    """Tables that a model names and nobody makes, and columns that they do not have."""
    own = [*spec.prediction.key, spec.prediction.time]
    named: list[tuple[tuple[str, ...], str, list[str]]] = [(("prediction",), spec.prediction.table, own)]
    named.append((("prediction", "request"), spec.prediction.table, list(spec.prediction.columns)))
    facts = [name for name in (spec.label.column, spec.label.known_at) if name]
    named.append((("label",), spec.label.table or spec.prediction.table, facts))
    for place, table, columns in named:
        if table not in known:
            yield Complaint(
                at(*place), f"table {table!r} does not exist; there are: {', '.join(sorted(known))}"
            )
            continue
        for column in columns:
            if column not in known[table]:
                there = ", ".join(known[table])
                yield Complaint(
                    at(*place),
                    f"table {table!r} has no column {column!r}; it has {there}: name one of these, or add it to the table",
                )
    table = declared.get(spec.prediction.table)
    for column, request in spec.prediction.columns.items():
        there = _type_of(column, request, table, known.get(spec.prediction.table, {}))
        if there != request.type:
            yield Complaint(
                at("prediction", "request", column),
                f"column {column!r} is '{request.type}' in a request and '{there}' in the table: a model is trained on "
                "what it is asked with, give both the same type",
            )
    time = table.columns.get(spec.prediction.time) if table else None
    if time is not None and time.kind != "datetime":
        yield Complaint(
            at("prediction"),
            f"prediction.time {spec.prediction.time!r} is {time.type}: a prediction is made at a moment, name a datetime column",
        )


def _type_of(column: str, request: Column, table: TableSpec | None, schema: Mapping[str, Any]) -> str:
    """What the prediction table has a column as: by its spec, or by the type of what Python makes, which may be missing.

    A column that is not there is of any type, for that has been told.
    """
    if column not in schema:
        return request.type
    if table is not None:
        return table.columns[column].type
    import polars as pl

    dtype = schema[column]
    fits = {
        "int": dtype.is_integer(),
        "float": dtype.is_float(),
        "str": dtype == pl.String,
        "bool": dtype == pl.Boolean,
    }
    return request.type if fits[request.kind] else str(dtype)
