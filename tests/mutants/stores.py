"""Mutations of what joins, serves and keeps data, and of work that is broken off: join, online store, resume, cost, storage."""

from functools import partial

from tests.mutants.mutant import Mutant

JOIN, ONLINE, RESUME, COST, STORAGE = (
    partial(Mutant, area) for area in ("join", "online store", "resume", "cost", "storage")
)
KERNEL = "tests/feature_repo/offline/test_kernel.py::"
RULES = "tests/feature_repo/online/test_rules.py::"
WINDOWS = "tests/feature_repo/online/test_windows.py::"
BYTES = "tests/feature_repo/online/test_encoding.py::"
OUTAGE = "tests/resources/test_tracking_outage.py::"
KUBERAY = "tests/resources/test_kuberay.py::"
TRAINED = "tests/ml/trainers/test_every_trainer.py::"
TRIED = "tests/test_tries.py::"
COSTED = "tests/ml/test_cost.py::"
DURABLE = "tests/resources/test_durable_writes.py::"
LAKE = "tests/resources/test_lake.py::"
BRUTE = "tests/feature_repo/offline/test_kernel.py::test_each_question_gets_the_row_that_a_search_through_all_finds"

MUTANTS = (
    JOIN(
        "a question is answered by another key's row",
        "feature_repo.offline_store.kernel:Timeline._places",
        "places[found != keys] = -1",
        "pass",
        BRUTE,
    ),
    JOIN(
        "a row of the very moment of the question is not known",
        "feature_repo.offline_store.kernel:Timeline._places",
        "np.searchsorted(self.packed[low:high], needles, side='right')",
        "np.searchsorted(self.packed[low:high], needles, side='left')",
        BRUTE,
    ),
    JOIN(
        "a value expires a tick early",
        "feature_repo.offline_store.kernel:Timeline._newest",
        "moments < oldest",
        "moments <= oldest",
        BRUTE,
    ),
    JOIN(
        "a row that was not created by then is taken",
        "feature_repo.offline_store.kernel:Timeline._places",
        "places if self.created is None else self._known(places, ticks)",
        "places",
        BRUTE,
    ),
    JOIN(
        "of equal moments any row is taken",
        "feature_repo.offline_store.kernel:_order",
        "np.lexsort((created[places], ordered[among]))",
        "np.lexsort((-created[places], ordered[among]))",
        BRUTE,
    ),
    JOIN(
        "rows without a moment are candidates",
        "feature_repo.offline_store.kernel:timeline",
        "(codes >= 0) & (ticks != NEVER)",
        "codes >= 0",
        BRUTE,
    ),
    JOIN(
        "what is pushed is not flushed to disk",
        "feature_repo.offline_store.writes:write_bytes",
        "os.fsync(handle.fileno())",
        "pass",
        f"{DURABLE}test_pushed_rows_are_on_disk_before_anybody_is_told_so",
    ),
    JOIN(
        "the second join expires nothing",
        "mlops_assets.ml.point_in_time:as_of",
        "table.ttl",
        "None",
        "tests/ml/test_point_in_time.py::test_what_was_known_is_what_a_loop_over_all_rows_finds",
    ),
    JOIN(
        "a cell that was not known in time is not seen",
        "mlops_assets.ml.point_in_time:cells_that_differ",
        "{name: count for name, count in differ.items() if count}",
        "{}",
        "tests/ml/test_point_in_time.py::test_a_cell_that_was_not_known_at_its_moment_is_counted",
    ),
    ONLINE(
        "an older event replaces a newer one",
        "feature_repo.online_store.batch:Batch.newer_than",
        "self.event > there[:, 0]",
        "self.event != there[:, 0]",
        f"{RULES}test_an_older_event_never_replaces_a_newer_one",
    ),
    ONLINE(
        "of equal events the one created first stays",
        "feature_repo.online_store.batch:Batch.newer_than",
        "self.created >= there[:, 1]",
        "self.created < there[:, 1]",
        f"{RULES}test_of_equal_event_times_the_later_created_wins",
    ),
    ONLINE(
        "within one batch any row of a key is taken",
        "feature_repo.online_store.batch:Batch.newest",
        "'last'",
        "'first'",
        f"{RULES}test_within_one_batch_the_same_rule_holds",
    ),
    ONLINE(
        "an expired value is served",
        "feature_repo.online_store.response:sight",
        "oldest is None or time >= oldest",
        "True",
        f"{RULES}test_a_value_is_served_for_as_long_as_it_lives_and_not_longer",
    ),
    ONLINE(
        "a value is served before it is known",
        "feature_repo.online_store.response:sight",
        "time is None or (asked is not None and time > asked)",
        "time is None",
        f"{RULES}test_a_value_is_served_for_as_long_as_it_lives_and_not_longer",
    ),
    ONLINE(
        "a row that its history has no more is still served",
        "feature_repo.online_store.writing:BulkWrites.bring_up",
        "self.forget(config, view, gone)",
        "pass",
        f"{WINDOWS}test_a_row_taken_back_altogether_is_not_served",
    ),
    ONLINE(
        "a view with other features counts as brought up",
        "feature_repo.online_store.writing:BulkWrites.bring_up",
        "known if known and known.shape == shape(view) else None",
        "known",
        f"{WINDOWS}test_a_view_with_other_features_is_brought_up_from_its_beginning",
    ),
    ONLINE(
        "a negative whole number is read as a large one",
        "feature_repo.online_store.decoding:_varint",
        "number - (1 << 64) if number >> 63 else number",
        "number",
        f"{BYTES}test_values_are_read_back_as_feast_reads_them",
    ),
    ONLINE(
        "a number that does not fit is cut off",
        "feature_repo.online_store.encoding:whole_numbers",
        "wrong.any()",
        "False",
        f"{BYTES}test_a_number_that_does_not_fit_is_named",
    ),
    ONLINE(
        "of rows pushed twice the first one answers",
        "resources.folding:_fold",
        "rows.unique(keep='last', maintain_order=True)",
        "rows.unique(keep='first', maintain_order=True)",
        "tests/resources/test_folding.py::test_wherever_it_is_killed_joins_answer_alike_and_the_next_one_ends_it",
    ),
    RESUME(
        "a fit that was broken off begins anew",
        "mlops_assets.ml.distributed:Alone.resume",
        "self._file.read_bytes() if self._file and self._file.exists() else None",
        "None",
        f"{TRAINED}test_a_fit_that_was_broken_off_goes_on_from_its_checkpoint",
    ),
    RESUME(
        "no checkpoint is kept",
        "mlops_assets.ml.distributed:Alone.save",
        "self._file is not None",
        "False",
        f"{TRAINED}test_a_fit_that_was_broken_off_ends_as_one_that_was_not",
    ),
    RESUME(
        "every fit takes up the same checkpoint",
        "mlops_assets.ml.distributed:run",
        "Path(reach.storage, identity)",
        "Path(reach.storage, 'fit')",
        f"{TRAINED}test_another_fit_does_not_take_up_the_checkpoint",
    ),
    RESUME(
        "what MLflow does not take while it is away is dropped",
        "resources.tracking_spool:Spool.holding",
        "(TrackingAwayError, DeletedError)",
        "DeletedError",
        f"{OUTAGE}test_after_its_patience_it_gives_up_with_the_address_and_keeps_what_was_logged",
    ),
    RESUME(
        "a fit that is delivered again is logged again",
        "resources.tracking:Tracking._deliver_fit",
        "found or log(self._client, experiment, record)",
        "log(self._client, experiment, record)",
        "tests/resources/test_tracking.py::test_a_fit_is_logged_once_and_registered_once",
    ),
    RESUME(
        "a run that comes after a killed one sends the fit again",
        "resources.kuberay:Errand._found_or_sent",
        "there and not stale",
        "False",
        f"{KUBERAY}test_a_run_that_comes_after_a_killed_one_waits_for_the_rayjob_of_that",
    ),
    RESUME(
        "a RayJob that failed is waited for",
        "resources.kuberay:Errand._stale",
        "status.get('jobDeploymentStatus') == 'Failed'",
        "False",
        f"{KUBERAY}test_what_is_no_use_any_more_is_deleted_and_sent_again",
    ),
    RESUME(
        "a week that failed is never given up",
        "mlops_assets.tries:plan",
        "len(tries) >= MOST_TRIES",
        "False",
        f"{TRIED}test_the_pauses_double_up_to_the_longest_and_after_the_last_try_a_person_is_asked_for",
    ),
    RESUME(
        "a week that another run is making is asked for again",
        "mlops_assets.tries:plan",
        "run.ended is None",
        "False",
        f"{TRIED}test_a_week_that_another_run_is_making_is_not_asked_for",
    ),
    RESUME(
        "a rollback that was killed goes back one further",
        "resources.promotion:_Pending.is_of",
        "self.path.exists() and self.path.read_text() == change.event",
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
        "mlops_assets.ml.training:fit",
        "cost.gpu_seconds = finished - prepared",
        "cost.gpu_seconds = 0.0",
        "tests/ml/test_gpu_seconds.py::test_a_fit_in_this_process_is_charged_the_gpu_while_it_trains",
    ),
    COST(
        "a task on Ray has no GPU-seconds",
        "mlops_assets.ml.distributed:_measured_task",
        "int(job.spec.trainer.gpu)",
        "0",
        "tests/ml/test_gpu_seconds.py::test_a_task_is_charged_the_gpu_for_all_of_its_time",
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
        "mlops_assets.costs:_with_cost",
        "{**(result.metadata or {}), **spent}",
        "result.metadata",
        "tests/test_costs.py::test_the_cost_joins_what_the_asset_says_itself",
    ),
    STORAGE(
        "a file is renamed into its place before it is on disk",
        "resources.lake:_durable_rename",
        "os.fsync(handle.fileno())",
        "pass",
        f"{DURABLE}test_what_the_lake_holds_is_on_disk_before_it_has_its_name",
    ),
    STORAGE(
        "a partition is written over the old one",
        "resources.lake:write_frame",
        "path.with_name(f'.{path.name}.{os.getpid()}.tmp')",
        "path",
        f"{DURABLE}test_what_the_lake_holds_is_on_disk_before_it_has_its_name",
    ),
    STORAGE(
        "a file that was changed on disk is what its manifest says",
        "resources.lake:Lake.holds",
        "self.manifest(table, partition).sha256 == sha256 == _sha256(path)",
        "self.manifest(table, partition).sha256 == sha256",
        f"{LAKE}test_a_partition_is_held_only_with_the_bytes_that_its_manifest_names",
    ),
    STORAGE(
        "rows that are gone are no change",
        "resources.lake:rows_changed",
        "before.join(after, on=list(keys), how='full', coalesce=True, nulls_equal=True)",
        "before.join(after, on=list(keys), how='right', coalesce=True, nulls_equal=True)",
        f"{LAKE}test_rows_changed_counts_added_removed_and_altered_rows",
    ),
    STORAGE(
        "the temporary files of living processes are swept away",
        "resources.lake:sweep",
        "not psutil.pid_exists(int(path.name.split('.')[-2]))",
        "True",
        f"{LAKE}test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own",
    ),
)
