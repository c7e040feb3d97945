"""What may differ between the same replay on a laptop's parts and on a cluster's, and why; docs/production.md shows this list."""

from mlops_assets.verify.parity import Expected

DRAWN = "Dagster and MLflow draw an id for each run"
TIMED = "what was measured while it was made: seconds, memory"
WRITTEN = "the wall clock at which it was written"
SEALED = "each audit log has a key of its own, and every entry's hash holds its time and the hash before it"
PLACED = "where it lies: a folder of a machine, or an address of a store"

EXPECTED = (
    Expected("decisions/audit/*#at", WRITTEN),
    *(Expected(f"decisions/audit/*#{name}", SEALED) for name in ("hash", "previous", "key", "seal")),
    Expected("decisions/audit/*#evidence.change", "the hash of the entry that it follows from"),
    *(Expected(f"decisions/audit/*#evidence.{name}", DRAWN) for name in ("run", "dagster_run")),
    *(Expected(f"decisions/registry/*#{name}", DRAWN) for name in ("run_id", "tags.dagster_run")),
    *(
        Expected(f"decisions/registry/*#tags.{name}", TIMED)
        for name in ("cpu_seconds", "gpu_seconds", "wall_seconds", "peak_memory_mib")
    ),
    Expected(
        "decisions/*#*lineage",
        "the hash of the lineage document, which names its run; the document is compared too",
    ),
    Expected("decisions/deployed/*#model_path", PLACED),
    Expected("records/lineage/*#*run*", DRAWN),
    Expected("records/*/timings/*", TIMED),
    Expected("records/*.made#at", WRITTEN),
    Expected("records/*.made#run", DRAWN),
    Expected("records/*/drift/_manifests/*#notes.evidently report", PLACED),
    Expected(
        "records/*/drift/*.html",
        "Evidently draws ids for the parts of its page; its numbers are in the table, which is compared",
    ),
    Expected("records/*/features/online/_manifests/*.made#fingerprint.online store", PLACED),
    Expected(
        "records/*/features/registry/_manifests/all.made#*",
        "the hash of Feast's definitions, which name where tables lie",
    ),
    Expected("records/*/card/_manifests/all.made#*", "the hash of a page that shows ids, seconds and times"),
    Expected(
        "records/*/ticks/*", "what a sensor noted of files, by their marks: times on a disk, tags in a store"
    ),
)
