"""What a model card says of the champion, gathered from the records: nothing is written by hand and nothing is guessed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlops_assets.ml.reports.card import Fact, Section, Source, value_in_words, with_interval
from mlops_assets.ml.reports.sparklines import bars
from mlops_assets.ml.scores import defined, undefined
from mlops_assets.promotion.holds import Holds
from mlops_assets.spec.columns import STORED_VERSION
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name, timings_name
from mlops_assets.stages.search_results import PARAMETERS_FROM, SEARCH
from resources.audit.log import CHANGES, Entry
from resources.pages import Pages
from resources.records.attempts import Attempt, Timings
from resources.records.documents import load_record
from resources.systems import Systems
from resources.tracking.tracking import Tracking, Version

MOST_BARS = 7


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of a champion: the records, each as it was kept."""

    spec: ModelSpec
    version: Version
    pages: Pages
    attempt: Mapping[str, Any] = field(default_factory=dict)
    timings: Sequence[Mapping[str, Any]] = ()
    partitions: Sequence[Mapping[str, Any]] = ()
    drift: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trained: Entry | None = None
    promoted: Entry | None = None
    held: str | None = None

    def asset(self, name: str) -> Source:
        """The asset of the model that a fact was read from."""
        return Source(f"{self.spec.name}/{name}", self.pages.asset(self.spec.name, name))

    @property
    def registry(self) -> Source:
        """The version's own page, with its tags."""
        number = self.version.number
        return Source(f"version {number} in MLflow", self.pages.version(self.version.name, number))

    @property
    def judged(self) -> Source:
        """The evaluation of the partition that the champion comes from."""
        return Source(
            f"evaluation of {self.version.tags.get('week', 'an unknown partition')}",
            self.asset("evaluation").link,
        )


def gather(spec: ModelSpec, version: Version, systems: Systems) -> Evidence:
    """Read the records that belong to one version: its evaluation, its partitions as champion, its entries in the audit log."""
    lake, audit = systems.lake, systems.audit
    partition = version.tags.get("week", "")
    attempt = load_record(lake, Attempt, attempt_name(spec, partition)) if partition else None
    timings = load_record(lake, Timings, timings_name(spec, partition)) if partition else None
    scored = lake.partitions(f"{spec.name}/performance")
    columns = ["week", "scored", STORED_VERSION, spec.gate.metric]
    reports = lake.read(f"{spec.name}/performance", scored, columns).to_dicts() if scored else []
    served = [report for report in reports if report[STORED_VERSION] == version.number]
    noted = {
        name: lake.manifest(f"{spec.name}/drift", name).notes or {}
        for name in lake.partitions(f"{spec.name}/drift")
    }
    changes = [e for e in audit.entries(spec.name, CHANGES) if e.version == version.number]
    return Evidence(
        spec=spec,
        version=version,
        pages=systems.pages,
        attempt=attempt.content() if attempt else {},
        timings=timings.contenders if timings else (),
        partitions=served,
        drift={name: note for name, note in noted.items() if note.get("reference version") == version.number},
        trained=audit.find("trained", spec.name, {"version": version.identity}),
        promoted=changes[-1] if changes else None,
        held=Holds.of(audit).freeze(spec.name),
    )


def sections(known: Evidence) -> list[Section]:
    """The card, from what it is for to how it came about."""
    return [
        _purpose(known),
        _data(known),
        _metrics(known),
        _slices(known),
        _against_the_champion_before(known),
        _since(known),
        _cost(known),
        _lineage(known),
    ]


def _purpose(known: Evidence) -> Section:
    spec, entry = known.spec, known.promoted
    source = Source(f"models/{spec.name}/defs.yaml", known.asset("model").link)
    label = (
        spec.label.column if spec.label.above is None else f"{spec.label.column} over {spec.label.above:g}"
    )
    decided = Source(
        f"audit log, entry {entry.seq}" if entry else "audit log", known.asset("deployment").link
    )
    return Section(
        "Purpose",
        [
            Fact("purpose", spec.description, source),
            Fact("owner", spec.owner, source),
            Fact("predicts", f"{label} ({spec.task})", source),
            Fact("at the moment", f"{spec.prediction.time} of a row of {spec.prediction.table}", source),
            Fact("version", known.version.number, known.registry),
            Fact("champion since", entry and (entry.moment or entry.at), decided),
            Fact("decided by", entry and entry.by, decided),
            Fact("because", entry and entry.why, decided),
            *([Fact("on hold", known.held, decided)] if known.held else []),
        ],
    )


def _data(known: Evidence) -> Section:
    tags = known.version.tags
    partitions = known.trained.evidence.get("weeks", {}) if known.trained else {}
    span = (
        f"{partitions['first']} to {partitions['last']} ({partitions['number']} partitions)"
        if partitions
        else None
    )
    entry = Source(
        f"audit log, entry {known.trained.seq}" if known.trained else "audit log", known.asset("model").link
    )
    hold_out = known.attempt.get("hold_out", {})
    return Section(
        "Data",
        [
            Fact("partitions", span, entry),
            Fact("rows fitted on", _number(tags.get("rows")), known.registry),
            *_recalibration(tags, known),
            Fact(
                "predictions until" if known.spec.label.waits else "labels known until",
                tags.get("trained_until"),
                known.registry,
            ),
            Fact("feature service", tags.get("feature_service"), known.registry),
            Fact("training set, SHA-256", tags.get("training_set"), known.asset("training_set")),
            Fact("feature definitions", tags.get("feature_definitions"), known.registry),
            Fact("held-out rows", hold_out.get("rows"), known.judged),
            Fact("held out from", hold_out.get("from"), known.judged),
            Fact("held out to", hold_out.get("to"), known.judged),
        ],
    )


def _recalibration(tags: Mapping[str, Any], known: Evidence) -> list[Fact]:
    """Whose scores the version moves, and how, where it is a recalibration."""
    return [Fact("recalibration", tags.get("compute"), known.registry)] if "recalibrates" in tags else []


def _metrics(known: Evidence) -> Section:
    side = known.attempt.get("challenger", {})
    metrics, intervals = side.get("metrics", {}), side.get("intervals", {})
    names = METRICS[known.spec.task]
    facts = [
        Fact(n, _why_undefined(n, metrics) or with_interval(metrics.get(n), intervals.get(n)), known.judged)
        for n in names
    ]
    cluster = known.spec.gate.cluster
    note = (
        f"Measured on the held-out rows by the challenger, version {value_in_words(side.get('version'))}: the same parameters and "
        f"rounds, fitted without those rows. Intervals are 95%, from the jackknife by {cluster}."
    )
    return Section("Metrics", facts, note)


def _slices(known: Evidence) -> Section:
    metric = known.spec.gate.metric
    facts = [
        Fact(
            f"{row['slice']} = {row['value']}",
            f"{metric} {_why_undefined(metric, row) or value_in_words(row[metric])} on {value_in_words(row['rows'])} rows",
            known.judged,
        )
        for row in known.attempt.get("slices", [])
    ]
    empty = [Fact("slices", "none are named in the spec" if not known.spec.slices else None, known.judged)]
    return Section("Slices", facts or empty)


def _against_the_champion_before(known: Evidence) -> Section:
    evidence = known.attempt.get("evidence", {})
    tests = [c for c in evidence.get("criteria", []) if c["kind"] == "evidence"]
    champion = known.attempt.get("champion")
    facts = [Fact("verdict", known.attempt.get("verdict"), known.judged)]
    if champion is None and known.attempt:
        return Section("Against the champion before", [*facts, Fact("champion before", "none", known.judged)])
    for test in tests:
        gain = with_interval(test.get("gain"), (test.get("low"), test.get("high")))
        facts += [
            Fact(f"gain in {test['name']}", gain, known.judged),
            Fact("p", test.get("p"), known.judged),
        ]
    facts.append(Fact("champion before", champion and f"version {champion['version']}", known.judged))
    if anchor := known.attempt.get("anchor"):
        facts += [
            Fact("anchor", f"version {anchor['version']}", known.judged),
            Fact("yearly margin", anchor["margin"], known.judged),
            Fact("spent of it by the champion before", anchor["spent"], known.judged),
            Fact("left of it", anchor["left"], known.judged),
        ]
    return Section("Against the champion before", facts)


def _since(known: Evidence) -> Section:
    metric, performance, drift = known.spec.gate.metric, known.asset("performance"), known.asset("drift")
    points = [(row["week"], value) for row in known.partitions if (value := defined(row[metric])) is not None]
    blind = sum(not row["scored"] for row in known.partitions)
    values = [value for _, value in points]
    shares = [note["drift_share"] for note in known.drift.values() if note.get("drift_share") is not None]
    psi = [note["prediction_psi"] for note in known.drift.values() if note.get("prediction_psi") is not None]
    few = "too few rows" if any(note.get("prediction_remark") for note in known.drift.values()) else None
    scored = {str(row["week"]): int(row["scored"]) for row in known.partitions[-MOST_BARS:]}
    return Section(
        "Since it became champion",
        [
            Fact("partitions scored", len(known.partitions), performance),
            Fact("partitions without a known label", blind, performance),
            Fact(
                "scored rows with a known label", sum(row["scored"] for row in known.partitions), performance
            ),
            Fact(
                f"{metric}, mean of the partitions", float(np.mean(values)) if values else None, performance
            ),
            Fact(
                f"{metric}, newest partition",
                f"{value_in_words(values[-1])} ({points[-1][0]})" if points else None,
                performance,
            ),
            Fact("largest share of features that drifted", max(shares, default=few), drift),
            Fact("largest PSI of the scores", max(psi, default=few), drift),
        ],
        note="Scored rows with a known label, by partition:" if scored else "",
        picture=bars(scored) if scored else "",
    )


def _cost(known: Evidence) -> Section:
    tags = known.version.tags
    taken = known.timings[0] if known.timings else {}
    units = {
        "cpu_seconds": "CPU-seconds of the fit",
        "wall_seconds": "wall seconds of the fit",
        "peak_memory_mib": "peak memory of the fit, MiB",
        "gpu_seconds": "GPU-seconds of the fit",
    }
    facts = [Fact(what, _number(tags.get(name)), known.registry) for name, what in units.items()]
    facts.append(Fact("size of the model file, bytes", taken.get("bytes"), known.judged))
    timed = [Fact(name, value, known.judged) for name, value in taken.items() if name.startswith("ms ")]
    return Section("Cost", facts + (timed or [Fact("ms for 1 row", None, known.judged)]))


def _lineage(known: Evidence) -> Section:
    tags, version = known.version.tags, known.version
    names = {
        "trainer": "trainer",
        "compute": "fitted",
        "code_version": "training code",
        "revision": "source revision",
        "spec": "spec, SHA-256",
        "lineage": "lineage document, SHA-256",
        "dagster_run": "Dagster run",
    }
    facts = [Fact(what, tags.get(name), known.registry) for name, what in names.items()]
    chosen = [Fact("parameters from", tags.get(PARAMETERS_FROM, "the spec"), known.registry)]
    if SEARCH in tags:
        chosen.append(Fact("search result, SHA-256", tags[SEARCH], known.asset("search")))
    return Section(
        "Lineage",
        [Fact("model file, SHA-256", version.sha256, known.registry), *facts, *chosen],
        note=f"`mlops verify {known.spec.name}@{version.number}` builds this version again and compares.",
    )


def _why_undefined(metric: str, values: Mapping[str, Any]) -> str | None:
    """Why a metric that was measured has no value; None where it has one, or was not measured."""
    return undefined(metric) if metric in values and values[metric] is None else None


def _number(text: str | None) -> float | int | None:
    """A number that a tag holds as text."""
    if not text:
        return None
    value = float(text)
    return int(value) if value.is_integer() else value


FILES = ("model_card.md", "model_card.html")


def is_attached(tracking: Tracking, version: Version, sha256: str) -> bool:
    """Whether the version's run holds a card with this hash."""
    page = tracking.holds(version, FILES[0]) and tracking.artifact(version, FILES[0])
    return bool(page) and hashlib.sha256(page).hexdigest() == sha256
