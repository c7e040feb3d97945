"""`mlops new`: a use case, a table or a model to begin with: commented YAML that works as it stands."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.commands.task import command, group
from mlops_assets.spec.files import read_use_case, table_specs_in
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.trainers import default_trainer
from resources.use_case_folders import NAME, SHIPPED, VARIABLE, UseCaseFolder, use_case_folder

verbs = group("a use case, a table or a model to begin with: commented YAML that works as it stands")
FIRST_DAY, DAYS, ROWS_A_DAY, SHOPS = datetime(2024, 1, 1, tzinfo=UTC), 49, 80, 12

USE_CASE = """\
# What holds for the whole use case. Examine it with `mlops check {name}`, replay it with `mlops run {name}`.
owner: team:{name}            # a team or an e-mail address
description: Orders of some shops, of which some are sent back.
calendar:
  cadence: daily              # hourly, daily, weekly, monthly, or a cron line
  timezone: UTC
  start: 2024-01-01
  end: {end}             # leave it out where data arrives without an end
clock: data                   # wall: data arrives while the clock goes, and a request is answered as of its arrival
"""

ORDERS = """\
type: mlops_assets.components.table.TableComponent

attributes:
  name: orders                # the lake table {use_case}/orders
  description: One row for each order.
  source: {{kind: csv, path: data/orders.csv}}   # or parquet, a pattern, s3://bucket/key, or a Python function
  columns: {{order_id: int, shop: str, amount: "float | null", ordered_at: datetime, sent_back: "int | null"}}
  key: [order_id]
  time: ordered_at            # rows are cut into partitions by it; a table without time is written whole
  lateness: 1h                # a partition is over so long after its end
  expect: {{amount: {{range: [0, 1000], nulls: 0.1}}}}   # a check warns outside of this
"""

SHOPS_TABLE = """\
type: mlops_assets.components.table.TableComponent

attributes:
  name: shops
  description: One row for each shop, known all along.
  source: {kind: csv, path: data/shops.csv}
  columns: {shop: str, shop_size: float, shop_age_years: float}
  key: [shop]
  features: {key: [shop]}     # the table is a feature view: its other columns are features, looked up by shop
"""

MODEL = """\
type: mlops_assets.components.model.ModelComponent

attributes:
  name: {name}
  description: Which rows of {table} have {label}?
  owner: {owner}
  task: classification        # or regression
  features: {features}           # views, or view:feature; {{exclude: [...]}} takes all others
  prediction:
    table: {table}
    key: [{key}]
    time: {time}           # the moment at which the prediction is made
    request: {request}   # columns that a request brings: features and fields of the endpoint
  label: {{column: {label}, delay: 1d}}   # known so long after the prediction; or known_at: a column with the moment
  trainer: {{kind: {kind}, rounds: 50, early_stopping_rounds: 5, parameters: {{max_depth: 3, eta: 0.2}}}}
  window: {{hold_out_days: 7, minimum_days: 28}}
  gate: {{metric: log_loss, floors: {{auc: 0.5}}}}   # a challenger must do better than this, and than the champion
  retrain: {{cool_down_days: 7, max_age_days: 21}}
"""


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
    _write(path / "use_case.yaml", USE_CASE.format(name=name, end=end))
    model = MODEL.format(
        name=f"{name}_sent_back",
        owner=f"team:{name}",
        features="[shops]",
        table="orders",
        key="order_id",
        time="ordered_at",
        request='{amount: "float | null"}',
        label="sent_back",
        kind=default_trainer().kind,
    )
    tables = [ORDERS.format(use_case=name), SHOPS_TABLE]
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
    text = SHOPS_TABLE.replace("name: shops", f"name: {name}").replace("data/shops.csv", f"{name}/{name}.csv")
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
    views = [one.view for one in specs if one.features and set(one.features.key) <= set(predicted.columns)]
    target = _target(predicted, label)
    path = folder.path / name
    _write(path / "defs.yaml", _model_text(name, folder, predicted, [v for v in views if v], target))
    print(f"{path / 'defs.yaml'}\nexamine it: {_prefix(folder.path)}mlops check {use_case}")
    return 0


def _model_text(name: str, folder: UseCaseFolder, table: TableSpec, views: list[str], label: str) -> str:
    keys = {*table.key, label, table.time, table.known_at}
    brought = {
        c: f'"{one.type}"' for c, one in table.columns.items() if c not in keys and one.kind == "float"
    }
    return MODEL.format(
        name=name,
        owner=read_use_case(folder).owner,
        features=f"[{', '.join(views)}]",
        table=table.name,
        key=", ".join(table.key),
        time=table.time,
        request="{" + ", ".join(f"{column}: {kind}" for column, kind in brought.items()) + "}",
        label=label,
        kind=default_trainer().kind,
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
