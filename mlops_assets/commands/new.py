"""`mlops new`: a use case, a table or a model to begin with: commented YAML that works as it stands."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.commands.task import command, group
from mlops_assets.spec.files import read_use_case, table_specs_in
from mlops_assets.spec.table import TableSpec
from resources.use_case_folders import NAME, SHIPPED, VARIABLE, UseCaseFolder, use_case_folder

verbs = group("a use case, a table or a model to begin with: commented YAML that works as it stands")
FIRST_DAY, DAYS, ROWS_A_DAY, SHOPS = datetime(2024, 1, 1, tzinfo=UTC), 49, 80, 12

SKELETONS = Path(__file__).parent / "skeletons"


class NewError(Exception):
    """A name that cannot be, or a file that is there already."""


def add(app: typer.Typer) -> None:
    """Add `new use-case`, `new table` and `new model` to the commands."""
    app.add_typer(verbs, name="new")


@command(verbs, "use-case", writes=False)
def _use_case(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits and _")],
    folder: Annotated[
        Path | None, typer.Option("--in", metavar="FOLDER", help="beside the project's own by default")
    ] = None,
) -> int:
    """a folder with data of its own, two tables and a model"""
    _refuse_name(name)
    path = (folder or SHIPPED) / name
    end = (FIRST_DAY + timedelta(days=DAYS)).date().isoformat()
    _write(path / "use_case.yaml", _skeleton("use_case").format(name=name, end=end))
    model = _skeleton("model").format(
        name=f"{name}_sent_back",
        owner=f"team:{name}",
        features="[shops]",
        table="orders",
        key="order_id",
        time="ordered_at",
        request='{amount: "float | null"}',
        label="sent_back",
    )
    tables = [_skeleton("orders").format(use_case=name), _skeleton("shops")]
    _write(path / "defs.yaml", "---\n".join([*tables, model]))
    _write(path / "data" / "orders.csv", _orders())
    _write(path / "data" / "shops.csv", _shops())
    print(
        f"{path}\nexamine it: {_prefix(path)}mlops check {name}\nreplay it: {_prefix(path)}mlops run {name}"
    )
    return 0


@command(verbs, "table", writes=False)
def _table(
    name: str,
    use_case: Annotated[str, typer.Option("--use-case", help="which use case it belongs to")],
) -> int:
    """a table in a use case, with a CSV file of its own"""
    _refuse_name(name)
    folder = use_case_folder(use_case)
    path = folder.path / name
    text = (
        _skeleton("shops")
        .replace("name: shops", f"name: {name}")
        .replace("data/shops.csv", f"{name}/{name}.csv")
    )
    text = text.replace("shop_size", f"{name}_size").replace("shop_age_years", f"{name}_age_years")
    text = text.replace("{key: [shop]}", f"{{key: [shop], view: {name}}}")
    _write(path / "defs.yaml", text)
    _write(
        path / f"{name}.csv", _shops().replace("shop_size", f"{name}_size").replace("shop_age", f"{name}_age")
    )
    print(f"{path / 'defs.yaml'}\nexamine it: {_prefix(folder.path)}mlops check {use_case}")
    return 0


@command(verbs, "model", writes=False)
def _model(
    name: str,
    use_case: Annotated[str, typer.Option("--use-case", help="which use case it belongs to")],
    table: Annotated[
        str, typer.Option(help="table whose rows are predicted; the first with a time by default")
    ] = "",
    label: Annotated[
        str, typer.Option(help="column that is predicted; the last whole number by default")
    ] = "",
) -> int:
    """a model in a use case, over one of its declared tables"""
    _refuse_name(name)
    folder = use_case_folder(use_case)
    specs = table_specs_in(folder)
    predicted = _predicted(specs, table, use_case)
    keys = {one.view: one.features.key for one in specs if one.view and one.features}
    keys |= {view: aggregate.key for one in specs for view, aggregate in one.aggregates.items()}
    views = [view for view, key in keys.items() if set(key) <= set(predicted.columns)]
    target = _target(predicted, label)
    path = folder.path / name
    _write(path / "defs.yaml", _model_text(name, folder, predicted, views, target))
    print(f"{path / 'defs.yaml'}\nexamine it: {_prefix(folder.path)}mlops check {use_case}")
    return 0


def _model_text(name: str, folder: UseCaseFolder, table: TableSpec, views: list[str], label: str) -> str:
    keys = {*table.key, label, table.time, table.known_at}
    brought = {
        c: f'"{one.type}"' for c, one in table.columns.items() if c not in keys and one.kind == "float"
    }
    return _skeleton("model").format(
        name=name,
        owner=read_use_case(folder).owner,
        features=f"[{', '.join(views)}]",
        table=table.name,
        key=", ".join(table.key),
        time=table.time,
        request="{" + ", ".join(f"{column}: {kind}" for column, kind in brought.items()) + "}",
        label=label,
    )


def _predicted(specs: list[TableSpec], name: str, use_case: str) -> TableSpec:
    cut = {one.name: one for one in specs if one.time}
    if name and name in cut:
        return cut[name]
    if name or not cut:
        there = ", ".join(cut) or "none"
        raise NewError(
            f"use case {use_case!r} declares no table {name or 'with a time'!r} that is cut by time; there are: {there}: "
            f"declare one, for example by mlops new table"
        )
    return next(iter(cut.values()))


def _target(table: TableSpec, name: str) -> str:
    able = [c for c, one in table.columns.items() if one.kind in ("int", "bool") and c not in table.key]
    if name in able or (not name and able):
        return name or able[-1]
    raise NewError(
        f"table {table.name!r} has no column {name or 'of 0 and 1'!r} to predict; there are: {', '.join(able) or 'none'}: "
        "name one with --label"
    )


def _refuse_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise NewError(f"{name!r} is no name: give lower-case letters, digits and _, a letter first")


def _skeleton(name: str) -> str:
    return (SKELETONS / f"{name}.template").read_text(encoding="utf-8")


def _prefix(path: Path) -> str:
    """The variable that finds a use case outside of the project."""
    return "" if path.parent.resolve() == SHIPPED else f"{VARIABLE}={path} "


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise NewError(f"{path} is there already: choose another name, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _orders() -> str:
    """Orders of seven weeks: dear ones are sent back more often, those of large shops less often."""
    dice = random.Random(7)
    lines = ["order_id,shop,amount,ordered_at,sent_back"]
    for number in range(DAYS * ROWS_A_DAY):
        shop, amount = dice.randrange(SHOPS), round(dice.expovariate(1 / 60) + 5, 2)
        at = FIRST_DAY + timedelta(minutes=number * 1440 / ROWS_A_DAY)
        chance = 0.1 + min(amount, 200) / 400 + 0.02 * (SHOPS - shop)
        shown = "" if dice.random() < 0.02 else f"{amount:g}"
        lines.append(f"{number},s{shop:02d},{shown},{at:%Y-%m-%dT%H:%M:%SZ},{int(dice.random() < chance)}")
    return "\n".join(lines) + "\n"


def _shops() -> str:
    lines = [f"s{shop:02d},{50 + 25 * shop},{1 + shop % 5}" for shop in range(SHOPS)]
    return "\n".join(["shop,shop_size,shop_age_years", *lines]) + "\n"
