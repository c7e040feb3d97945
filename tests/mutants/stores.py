"""Mutations of what joins, serves and keeps data: join, online store, storage."""

from functools import partial

from tests.mutants.mutant import Mutant

JOIN, ONLINE, STORAGE = (partial(Mutant, area) for area in ("join", "online store", "storage"))
RULES = "tests/feature_repo/online/test_rules.py::"
WINDOWS = "tests/feature_repo/online/test_windows.py::"
BYTES = "tests/feature_repo/online/test_encoding.py::"
DURABLE = "tests/resources/test_durable_writes.py::"
CUT = "tests/resources/storage/test_durable.py::"
CONTRACT = "tests/resources/storage/test_contract.py::"
LAKE = "tests/resources/test_lake.py::"
BRUTE = "tests/feature_repo/offline/test_kernel.py::test_each_question_gets_the_row_that_a_search_through_all_finds"

MUTANTS = (
    JOIN(
        "a question is answered by another key's row",
        "feature_repo.offline_store.kernel:Timeline._places",
        "places[keys_there != keys] = -1",
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
        "tests/feature_repo/offline/test_durable_push.py::test_pushed_rows_are_on_disk_before_anybody_is_told_so",
    ),
    JOIN(
        "the second join expires nothing",
        "mlops_assets.ml.skew.brute_force:as_of",
        "table.ttl",
        "None",
        "tests/ml/skew/test_point_in_time.py::test_what_was_known_is_what_a_loop_over_all_rows_finds",
    ),
    JOIN(
        "a cell that was not known in time is not seen",
        "mlops_assets.ml.skew.brute_force:differing",
        "{name: cells for name, cells in differ.items() if cells.any()}",
        "{}",
        "tests/ml/skew/test_point_in_time.py::test_a_cell_that_was_not_known_at_its_moment_is_counted",
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
        "packed values are believed after stock Feast has written",
        "feature_repo.online_store.redis.packing:ByRow.cells",
        "stamp.startswith(mark)",
        "True",
        "tests/feature_repo/online/test_redis_packing.py::test_whatever_happens_ours_reads_what_stock_feast_reads",
    ),
    ONLINE(
        "an expired value is served",
        "feature_repo.online_store.answer:sight",
        "oldest is None or time >= oldest",
        "True",
        f"{RULES}test_a_value_is_served_for_as_long_as_it_lives_and_not_longer",
    ),
    ONLINE(
        "a value is served before it is known",
        "feature_repo.online_store.answer:sight",
        "time is None or (as_of is not None and time > as_of)",
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
        "feature_repo.online_store.codec.decoding:_varint",
        "number - (1 << 64) if number >> 63 else number",
        "number",
        f"{BYTES}test_values_are_read_back_as_feast_reads_them",
    ),
    ONLINE(
        "a number that does not fit is cut off",
        "feature_repo.online_store.codec.encoding:whole_numbers",
        "wrong.any()",
        "False",
        f"{BYTES}test_a_number_that_does_not_fit_is_named",
    ),
    ONLINE(
        "of rows pushed twice the first one answers",
        "resources.lake.pushed_files:_fold",
        "rows.unique(keep='last', maintain_order=True)",
        "rows.unique(keep='first', maintain_order=True)",
        "tests/resources/test_folding.py::test_wherever_it_is_killed_joins_answer_alike_and_the_next_one_ends_it",
    ),
    STORAGE(
        "a file has its name before it is on disk",
        "resources.storage.durable:_place",
        "os.fsync(handle.fileno())",
        "pass",
        f"{DURABLE}test_what_the_lake_holds_is_on_disk_before_it_has_its_name",
    ),
    STORAGE(
        "a file is written over the old one",
        "resources.storage.durable:_place",
        "path.with_name(f'.{path.name}.{next(_numbers)}.{os.getpid()}.tmp')",
        "path",
        f"{DURABLE}test_what_the_lake_holds_is_on_disk_before_it_has_its_name",
    ),
    STORAGE(
        "a file's name is not flushed to disk",
        "resources.storage.durable:_place",
        "flush_folder(path.parent)",
        "pass",
        f"{CUT}test_a_replaced_file_is_the_new_one_after_a_power_cut",
    ),
    STORAGE(
        "a new folder's name is not flushed to disk",
        "resources.storage.durable:make_folder",
        "flush_folder(folder.parent)",
        "pass",
        f"{CUT}test_an_acknowledged_write_survives_a_power_cut",
    ),
    STORAGE(
        "what is removed comes back after a power cut",
        "resources.storage.durable:remove",
        "flush_folder(path.parent)",
        "pass",
        f"{CUT}test_what_was_deleted_stays_so_and_what_was_kept_stays_after_a_power_cut",
    ),
    STORAGE(
        "what must not be there yet is written over",
        "resources.storage.durable:create_bytes",
        "second_name",
        "rename",
        f"{CONTRACT}test_nothing_is_written_over_what_is_there_already[folder]",
    ),
    STORAGE(
        "what has changed meanwhile is written over",
        "resources.storage.local:LocalStorage.put_if_unchanged",
        "self.stamp(name) != stamp",
        "False",
        f"{CONTRACT}test_nothing_is_written_over_what_has_changed[folder]",
    ),
    STORAGE(
        "in an object store what has changed meanwhile is written over",
        "resources.storage.object_store:ObjectStorage.put_if_unchanged",
        "{'e_tag': stamp}",
        "'overwrite'",
        f"{CONTRACT}test_nothing_is_written_over_what_has_changed[object store]",
    ),
    STORAGE(
        "an update is of what was read before others wrote",
        "resources.storage.storage:Storage.update",
        "self.put(name, after, before)",
        "self.write(name, after)",
        f"{CONTRACT}test_an_update_that_always_comes_late_gives_up[folder]",
    ),
    STORAGE(
        "who was asleep beyond the lease takes it from its new holder",
        "resources.storage.lease:Lease._own_stamp",
        "now is None or Terms(**json.loads(now.content)).number != self.number",
        "now is None",
        f"{CONTRACT}test_work_that_outlived_its_lease_is_told_so[folder]",
    ),
    STORAGE(
        "a lease that ran out is renewed",
        "resources.storage.lease:Lease.renew",
        "self.left_s <= 0",
        "False",
        f"{CONTRACT}test_a_lease_that_was_not_renewed_in_time_is_lost_though_nobody_took_it[folder]",
    ),
    STORAGE(
        "a lease is taken while another has it",
        "resources.storage.lease:take",
        "terms is None or terms.free or looked_at - seen_at > terms.lasts_s",
        "True",
        f"{CONTRACT}test_a_lease_has_one_holder_until_it_is_given_back[folder]",
    ),
    STORAGE(
        "two have one lock at once",
        "resources.storage.local:LocalStorage.locked",
        "file_lock(path.with_name(f'.{path.name}.lock'), wait)",
        "open('/dev/null')",
        f"{CONTRACT}test_a_name_is_locked_for_one_at_a_time[folder]",
    ),
    STORAGE(
        "a file that was changed on disk is what its manifest says",
        "resources.lake.lake:Lake.holds",
        "self.manifest(table, partition).sha256 == sha256 == self.hash(table, partition)",
        "self.manifest(table, partition).sha256 == sha256",
        f"{LAKE}test_a_partition_is_held_only_with_the_bytes_that_its_manifest_names",
    ),
    STORAGE(
        "rows that are gone are no change",
        "resources.lake.lake:rows_changed",
        "before.join(after, on=list(keys), how='full', coalesce=True, nulls_equal=True)",
        "before.join(after, on=list(keys), how='right', coalesce=True, nulls_equal=True)",
        f"{LAKE}test_rows_changed_counts_added_removed_and_altered_rows",
    ),
    STORAGE(
        "the temporary files of living processes are swept away",
        "resources.storage.durable:sweep",
        "not lives(int(path.name.split('.')[-2]))",
        "True",
        f"{LAKE}test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own",
    ),
)
