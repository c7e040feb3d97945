"""Every asset says what its materialization cost."""

import dagster as dg

from mlops_assets.kit.costs import costed


class Shelf(dg.ConfigurableResource):
    """A resource that an asset asks for by its annotation."""

    label: str


@dg.asset(check_specs=[dg.AssetCheckSpec("holds", asset="counted")])
@costed
def counted(context: dg.AssetExecutionContext, shelf: Shelf):
    yield dg.AssetCheckResult(passed=True, check_name="holds")
    total = sum(range(3_000_000))
    yield dg.MaterializeResult(metadata={"total": total, "shelf": shelf.label})


def test_the_cost_joins_what_the_asset_says_itself():
    result = dg.materialize([counted], resources={"shelf": Shelf(label="upper")})
    event = next(e for e in result.asset_materializations_for_node("counted"))
    shown = {name: value.value for name, value in event.metadata.items()}
    assert shown["total"] == sum(range(3_000_000)) and shown["shelf"] == "upper"
    assert shown["run cpu seconds"] > 0 and shown["run wall seconds"] > 0
    assert shown["run peak memory mib"] > 10
