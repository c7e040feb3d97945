"""What an endpoint answers with now, in values: each model, its version, and what is wrong or on hold."""

from datetime import UTC
from typing import Any

from resources.serving.live_models import LiveModels, Served


def retired(models: LiveModels, name: str) -> str:
    """That a model was taken out of service, by whom and why."""
    return f"model {name!r} is retired. {models.held.retired[name]}. `mlops retire {name} --undo --why WHY` brings it back"


def status(models: LiveModels) -> list[dict[str, Any]]:
    """What answers now, and what should but cannot, by name."""
    served, problems = models.served, models.problems
    names = sorted({*served, *problems, *models.held.retired})
    return [_status(models, name, served.get(name), problems.get(name)) for name in names]


def _status(models: LiveModels, name: str, model: Served | None, problem: str | None) -> dict[str, Any]:
    if model is None:
        held = retired(models, name) if name in models.held.retired else None
        return {"name": name, "version": None, "problem": problem, "held": held}
    pause = models.held.pause_of(name)
    record, now = model.record, models.now(model).astimezone(UTC)
    return {
        "name": name,
        "version": record.version,
        "model_sha256": record.model_sha256,
        "task": record.task,
        "since": model.since.isoformat(timespec="seconds"),
        "as_of": now.isoformat(),
        "clock": record.clock,
        "feature_service": record.feature_service,
        "owner": record.owner,
        "problem": problem,
        "held": f"paused: nothing is retrained or promoted. {pause}" if pause else None,
    }


def reasons(models: LiveModels) -> list[str]:
    """Why the endpoint is not ready: the published models that it has neither taken up nor refused; none where it is."""
    published = {path.stem for path in models.folder.glob("[!.]*.json")}
    known = {*models.served, *models.problems, *models.held.retired}
    return [f"model {name!r} is published and not loaded yet" for name in sorted(published - known)]
