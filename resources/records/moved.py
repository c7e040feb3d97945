"""Code that lies elsewhere than in the release that wrote its name down: names are mapped, and never imported here."""

from collections.abc import Mapping

MOVED: Mapping[str, str] = {
    "mlops_assets.ml.training:Scorer": "mlops_assets.ml.training.fit:Scorer",
}
"""Import path in an earlier release -> in this one."""


def now_at(path: str | None) -> str | None:
    """Where what an earlier release called so is now; any other name stays as it is, and is refused by who asks for it."""
    return MOVED.get(path, path) if isinstance(path, str) else path


def names_before(path: str) -> list[str]:
    """What earlier releases called it."""
    return [before for before, now in MOVED.items() if now == path]
