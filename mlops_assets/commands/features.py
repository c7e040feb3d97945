"""`mlops features`: what each feature means, is made of and looks like, how old it is, and which models read it."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import settings

if TYPE_CHECKING:
    from mlops_assets.stages.feature_catalogue import CataloguedFeature, Spread

SHOWN = 6


def add(app: typer.Typer) -> None:
    """Add `features` to the commands."""
    command(app, "features", writes=False)(_features)


def _features(
    use_case: Annotated[str, typer.Argument(help="one use case only; all by default")] = "",
    unused: Annotated[bool, typer.Option("--unused", help="only those that no model reads")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print all of it as JSON")] = False,
) -> int:
    """what each feature means and is made of, how its values lie, how old it is, and which models read it"""
    by_use_case = catalogues(use_case)
    shown = {name: [one for one in rows if not (unused and one.used)] for name, rows in by_use_case.items()}
    if as_json:
        print(json.dumps({name: [one.to_json() for one in rows] for name, rows in shown.items()}, indent=1))
        return 0
    for name, rows in shown.items():
        print("\n".join(catalogue_lines(name, rows)))
    return 0


def catalogues(use_case: str = "") -> "dict[str, list[CataloguedFeature]]":
    """The features of one use case, or of all."""
    from mlops_assets.project import Declared
    from mlops_assets.stages.feature_catalogue import feature_catalogue
    from resources.cluster import resources_of
    from resources.features.stores import repository_of

    declared, lake = Declared.load(), resources_of(settings())["lake"]
    names = [declared.use_case(use_case).name] if use_case else sorted(declared.use_cases)
    return {
        name: feature_catalogue(
            name,
            [table for table in declared.tables if table.key.startswith(f"{name}/")],
            [spec for spec in declared.specs.values() if spec.use_case == name],
            lake,
            repository_of(name),
        )
        for name in names
    }


def catalogue_lines(use_case: str, rows: "Sequence[CataloguedFeature]") -> Iterator[str]:
    """The catalogue in lines, by view; those that no model reads once more at the end."""
    yield f"{use_case}: {len(rows)} features"
    for view in dict.fromkeys(one.view for one in rows):
        ours = [one for one in rows if one.view == view]
        age = f", newest row {ours[0].newest:%Y-%m-%d %H:%M} UTC" if ours[0].newest else ""
        age = ", known all along" if ours[0].all_along else age
        late = f", {ours[0].behind_hours:g} h behind" if ours[0].behind_hours else ""
        yield f"\n{view}{age}{late}"
        for one in ours:
            yield from _lines(one)
    if idle := [f"{one.view}:{one.name}" for one in rows if not one.used]:
        yield f"\nread by no model: {', '.join(idle)}"
    yield ""


def _lines(one: "CataloguedFeature") -> Iterator[str]:
    unit = f" ({one.unit})" if one.unit else ""
    yield f"  {one.name}{unit}: {one.meaning or 'not described'}"
    if one.spread:
        yield f"      {_spread(one.spread)}"
    more = f" and {len(one.made_of) - SHOWN} more" if len(one.made_of) > SHOWN else ""
    if one.made_of:
        yield f"      made of {', '.join(one.made_of[:SHOWN])}{more}"
    yield f"      read by {', '.join(one.models) or 'no model'}"


def _spread(spread: "Spread") -> str:
    missing = f"{spread.missing:.1%} missing of {spread.rows:,}"
    if spread.most_frequent:
        return f"{', '.join(f'{v} {n:,}' for v, n in spread.most_frequent.items())}; {missing}"
    if spread.median is None:
        return missing
    return f"{spread.picture}  {spread.smallest:.4g} to {spread.largest:.4g}, median {spread.median:.4g}; {missing}"
