"""Mutations of work that is broken off, and of what work costs: resume, cost."""

from functools import partial

from tests.mutants.mutant import Mutant

RESUME, COST = (partial(Mutant, area) for area in ("resume", "cost"))
OUTAGE = "tests/resources/test_tracking_outage.py::"
KUBERAY = "tests/resources/test_kuberay.py::"
TRAINED = "tests/ml/training/trainers/test_every_trainer.py::"
TRIED = "tests/automation/test_tries.py::"
COSTED = "tests/ml/test_cost.py::"

MUTANTS = (
    RESUME(
        "a fit that was broken off begins anew",
        "mlops_assets.ml.training.distributed:Alone.resume",
        "last.content if last else None",
        "None",
        f"{TRAINED}test_a_fit_that_was_broken_off_goes_on_from_its_checkpoint",
    ),
    RESUME(
        "no checkpoint is kept",
        "mlops_assets.ml.training.distributed:Alone.save",
        "self._checkpoints is not None",
        "False",
        f"{TRAINED}test_a_fit_that_was_broken_off_ends_as_one_that_was_not",
    ),
    RESUME(
        "every fit takes up the same checkpoint",
        "mlops_assets.ml.training.distributed:run",
        "reach.storage.below(identity)",
        "reach.storage.below('fit')",
        f"{TRAINED}test_another_fit_does_not_take_up_the_checkpoint",
    ),
    RESUME(
        "what MLflow does not take while it is away is dropped",
        "resources.tracking.spool:Spool.holding",
        "(TrackingAwayError, DeletedError)",
        "DeletedError",
        f"{OUTAGE}test_after_its_patience_it_gives_up_with_the_address_and_keeps_what_was_logged",
    ),
    RESUME(
        "a fit that is delivered again is logged again",
        "resources.tracking.tracking:Tracking._deliver_fit",
        "run or log(self._client, experiment, record)",
        "log(self._client, experiment, record)",
        "tests/resources/test_tracking.py::test_a_fit_is_logged_once_and_registered_once",
    ),
    RESUME(
        "a run that comes after a killed one sends the fit again",
        "resources.compute.kuberay:Errand._found_or_sent",
        "there and not stale",
        "False",
        f"{KUBERAY}test_a_run_that_comes_after_a_killed_one_waits_for_the_rayjob_of_that",
    ),
    RESUME(
        "a RayJob that failed is waited for",
        "resources.compute.kuberay:Errand._stale",
        "status.get('jobDeploymentStatus') == 'Failed'",
        "False",
        f"{KUBERAY}test_what_is_no_use_any_more_is_deleted_and_sent_again",
    ),
    RESUME(
        "a week that failed is never given up",
        "mlops_assets.automation.tries:plan",
        "len(tries) >= MOST_TRIES",
        "False",
        f"{TRIED}test_the_pauses_double_up_to_the_longest_and_after_the_last_try_a_person_is_asked_for",
    ),
    RESUME(
        "a week that another run is making is asked for again",
        "mlops_assets.automation.tries:plan",
        "run.ended is None",
        "False",
        f"{TRIED}test_a_week_that_another_run_is_making_is_not_asked_for",
    ),
    RESUME(
        "a rollback that was killed goes back one further",
        "mlops_assets.promotion.champion:_Pending.is_of",
        "stored is not None and stored.content.decode() == change.event",
        "False",
        "tests/changes/test_killed_changes.py::test_a_rollback_that_is_killed_anywhere_and_asked_for_again_goes_one_back",
    ),
    COST(
        "a measured block has no GPU-seconds",
        "mlops_assets.ml.cost:Meter.cost",
        "self.gpus * wall",
        "0.0",
        f"{COSTED}test_a_gpu_costs_its_wall_time_and_a_failure_is_costed_too",
    ),
    COST(
        "a fit on this machine's GPU has no GPU-seconds",
        "mlops_assets.ml.training.fit:fit",
        "cost.gpu_seconds = finished - prepared",
        "cost.gpu_seconds = 0.0",
        "tests/ml/training/test_gpu_seconds.py::test_a_fit_in_this_process_is_charged_the_gpu_while_it_trains",
    ),
    COST(
        "a task on Ray has no GPU-seconds",
        "mlops_assets.ml.training.distributed:_measured_task",
        "int(job.spec.trainer.gpu)",
        "0",
        "tests/ml/training/test_gpu_seconds.py::test_a_task_is_charged_the_gpu_for_all_of_its_time",
    ),
    COST(
        "a worker of Ray Train has no GPU-seconds",
        "mlops_assets.ml.training.distributed:_on_worker",
        "int(job.spec.trainer.gpu)",
        "0",
        "tests/ml/training/test_gpu_seconds.py::test_a_worker_is_charged_its_gpu_for_all_of_its_time",
    ),
    COST(
        "what workers cost beside this process is left out",
        "mlops_assets.ml.cost:Cost.beside",
        "self.gpu_seconds + other.gpu_seconds",
        "self.gpu_seconds",
        f"{COSTED}test_work_side_by_side_adds_up_but_for_the_clock",
    ),
    COST(
        "the processor time of children is left out",
        "mlops_assets.ml.cost:_cpu",
        "spent.user + spent.system + spent.children_user + spent.children_system",
        "spent.user + spent.system",
        f"{COSTED}test_the_processor_time_of_children_counts",
    ),
    COST(
        "the peak of memory is that of earlier work",
        "mlops_assets.ml.cost:Meter.__init__",
        "_forget_peak()",
        "pass",
        f"{COSTED}test_the_peak_of_memory_is_the_blocks_own",
    ),
    COST(
        "an asset does not say what it cost",
        "mlops_assets.kit.costs:_with_cost",
        "{**(result.metadata or {}), **spent}",
        "result.metadata",
        "tests/kit/test_costs.py::test_the_cost_joins_what_the_asset_says_itself",
    ),
)
