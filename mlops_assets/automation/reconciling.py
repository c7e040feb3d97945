"""The sensor that keeps registry and endpoint as the audit log says."""

import logging
from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from mlops_assets.promotion.champion import ChampionError, reconcile
from mlops_assets.promotion.holds import tell_endpoint
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import Audit, AuditError
from resources.records.reader import RecordError
from resources.serving.ray_serve import Endpoint
from resources.storage.errors import LeaseHeldError
from resources.systems import Systems
from resources.tracking.tracking import Tracking, TrackingAwayError, TrackingError

LOG = logging.getLogger(__name__)
RECONCILE_EVERY_S = 4


class DifferenceError(Exception):
    """Registry or endpoint differ from the audit log, and nothing here can repair it."""


def reconcile_sensor(specs: Callable[[], Mapping[str, ModelSpec]]) -> dg.SensorDefinition:
    """`keep_registry_and_endpoint_as_recorded`: no runs; repairs what a killed process or a stranger's hand left behind."""

    @dg.sensor(
        name="keep_registry_and_endpoint_as_recorded",
        minimum_interval_seconds=RECONCILE_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Bring every model's registry aliases and endpoint to what the newest change in the audit log says.",
    )
    def sensor(
        tracking: dg.ResourceParam[Tracking],
        endpoint: dg.ResourceParam[Endpoint],
        audit: dg.ResourceParam[Audit],
    ) -> dg.SkipReason:
        systems = Systems(tracking=tracking.at_once, endpoint=endpoint, audit=audit)
        return dg.SkipReason(reconciled(sorted(specs()), systems))

    return sensor


def reconciled(models: Sequence[str], systems: Systems) -> str:
    """Reconcile each model and say what differed; raises DifferenceError at the end where something could not be repaired."""
    repairs, broken = [], []
    if tell_endpoint(systems.audit, systems.endpoint):
        repairs.append("the endpoint was not told of every hold")
    for model in models:
        try:
            repairs += [f"{model}: {what}" for what in reconcile(systems, model, False)]
        except LeaseHeldError:
            repairs.append(f"{model}: a change is under way")
        except TrackingAwayError as away:
            repairs.append(str(away))
            break
        except (ChampionError, TrackingError, RecordError, AuditError) as error:
            broken.append(f"{model}: {error}")
    for line in (*repairs, *broken):
        LOG.warning(line)
    if broken:
        raise DifferenceError("; ".join(broken))
    return "; ".join(repairs) or f"registry and endpoint follow the audit log ({len(models)} models)"
