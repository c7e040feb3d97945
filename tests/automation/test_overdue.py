"""What Dagster knows of raised alarms is read past runs that were killed before they had looked."""

import dagster as dg

from mlops_assets.automation.overdue import _raised
from mlops_assets.kit.arrivals import ARRIVES

KEY = dg.AssetKey(["shop", "orders"])


@dg.asset(key=KEY, check_specs=[dg.AssetCheckSpec(ARRIVES, asset=KEY)])
def killed():
    raise RuntimeError("as if the process were gone: the check was planned, and nobody made it")


def test_a_check_that_was_planned_and_never_made_is_no_alarm_and_no_error():
    with dg.DagsterInstance.ephemeral() as instance:
        assert not dg.materialize([killed], instance=instance, raise_on_error=False).success
        alarm = dg.AssetCheckEvaluation(
            asset_key=KEY, check_name=ARRIVES, passed=False, metadata={"partition": "2024-01-08"}
        )
        instance.report_runless_asset_event(alarm)
        assert not dg.materialize([killed], instance=instance, raise_on_error=False).success
        assert _raised(instance, "shop/orders") == {"2024-01-08"}
