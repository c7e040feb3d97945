"""Asset checks that several assets share; each reads as a claim about the asset."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from mlops_assets.ml.tables import Expectation, Finding, claims


def check_spec(
    asset: Sequence[str], claim: str, blocking: bool, description: str | None = None
) -> dg.AssetCheckSpec:
    """A claim that the asset's own step examines while the data is in memory."""
    return dg.AssetCheckSpec(
        claim, asset=dg.AssetKey(list(asset)), blocking=blocking, description=description
    )


def check_result(claim: str, holds: bool, blocking: bool, numbers: dict[str, Any]) -> dg.AssetCheckResult:
    """The outcome of one claim; a claim that blocks fails as an error, any other warns."""
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=claim, passed=bool(holds), severity=severity, metadata=plain(numbers)
    )


def table_check_specs(asset: Sequence[str], expected: Expectation) -> list[dg.AssetCheckSpec]:
    """Specs of the claims every table makes: schema, keys, event times, nulls, ranges, freshness, gaps."""
    return [check_spec(asset, claim, blocking) for claim, blocking in claims(expected)]


def table_check_results(findings: dict[str, list[Finding]]) -> Iterable[dg.AssetCheckResult]:
    """One result a claim over all partitions of a run; a partition that breaks it is named with its numbers."""
    by_claim: dict[str, list[tuple[str, Finding]]] = {}
    for partition, of_one in findings.items():
        for finding in of_one:
            by_claim.setdefault(finding.claim, []).append((partition, finding))
    for claim, pairs in by_claim.items():
        broken = {partition: finding.numbers for partition, finding in pairs if not finding.holds}
        numbers = broken or (pairs[0][1].numbers if len(pairs) == 1 else {"partitions examined": len(pairs)})
        yield check_result(claim, not broken, pairs[0][1].blocking, numbers)


def plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """Metadata that the UI can show: numbers and text as they are, anything nested as JSON."""
    return {key: _shown(value) for key, value in numbers.items()}


def _shown(value: Any) -> Any:
    if value is None:
        return "none"
    if isinstance(value, dict | list | tuple):
        return dg.MetadataValue.json(value) if value else "none"
    return value
