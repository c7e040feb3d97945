"""Mutations of what is on record, and of what tells one thing from another: audit, fingerprint, identity."""

from functools import partial

from tests.mutants.mutant import Mutant

AUDIT, FINGERPRINT, IDENTITY = (partial(Mutant, area) for area in ("audit", "fingerprint", "identity"))
TRACKED = "tests/resources/test_tracking.py::"
LOGGED = "tests/resources/test_audit.py::"
DURABLE = "tests/resources/test_durable_writes.py::"
DECIDED = "tests/test_fingerprints.py::"

MUTANTS = (
    AUDIT(
        "an append is not flushed to disk",
        "resources.audit.log:Audit._append",
        "os.fsync(handle.fileno())",
        "pass",
        f"{DURABLE}test_an_entry_of_the_audit_log_is_on_disk_before_anybody_is_told_so",
    ),
    AUDIT(
        "the folder of the log is not flushed to disk",
        "resources.audit.chain:write_head",
        "os.fsync(handle)",
        "pass",
        f"{DURABLE}test_an_entry_of_the_audit_log_is_on_disk_before_anybody_is_told_so",
    ),
    AUDIT(
        "an entry does not seal the one before",
        "resources.audit.chain:sealed",
        "head.hash.encode()",
        "GENESIS.encode()",
        f"{LOGGED}test_a_log_as_it_was_written_is_whole",
    ),
    AUDIT(
        "a line with another hash is an entry",
        "resources.audit.chain:whole",
        "raw[-SEAL:] != _seal(hashlib.sha256(raw[:-SEAL] + b'}').hexdigest())",
        "False",
        f"{LOGGED}test_an_altered_line_is_not_read_as_an_entry",
    ),
    AUDIT(
        "what follows a line is not verified",
        "resources.audit.chain:follow",
        "not line.startswith(start) or line[-SEAL:] != _seal(found)",
        "line[-SEAL:] != _seal(found)",
        f"{LOGGED}test_a_line_that_was_replaced_with_its_hash_made_anew_is_found",
    ),
    AUDIT(
        "processes append at once without a lock",
        "resources.audit.log:Audit.record",
        "file_lock(self._path(LOCK_FILE))",
        "open('/dev/null')",
        f"{LOGGED}test_processes_that_append_at_once_lose_and_double_nothing",
    ),
    AUDIT(
        "the same decision is two entries",
        "resources.audit.log:Audit.record",
        "self._find(event) or self._append(*sealed(head, event, content))",
        "self._append(*sealed(head, event, content))",
        f"{LOGGED}test_the_same_decision_is_one_entry_and_another_one_is_not",
    ),
    AUDIT(
        "entries go on beside a log that is not what its head says",
        "resources.audit.log:Audit._ready",
        "head is None or size < head.bytes or (head.seq and self._seal_at(head) != head.hash)",
        "head is None",
        f"{LOGGED}test_nothing_is_recorded_beside_a_log_that_is_not_what_its_head_says",
    ),
    AUDIT(
        "a torn append stays in the log",
        "resources.audit.log:Audit._recovered",
        "handle.truncate(head.bytes)",
        "pass",
        f"{LOGGED}test_an_append_that_was_torn_anywhere_is_put_aside_and_loses_no_entry",
    ),
    AUDIT(
        "a log that was written anew is not noticed",
        "resources.audit.chain:_anchored",
        "seen[seq].hash != digest",
        "False",
        f"{LOGGED}test_a_log_that_was_written_anew_or_cut_with_its_head_is_found_by_what_remembers_it_elsewhere",
    ),
    FINGERPRINT(
        "the gate decides no evaluation",
        "mlops_assets.stages.fingerprints:of_evaluation",
        "['prediction', 'label', 'slices', 'task', 'window', 'gate', 'trainer']",
        "['prediction', 'label', 'slices', 'task', 'window', 'trainer']",
        f"{DECIDED}test_each_field_of_the_gate_decides_a_verdict",
    ),
    FINGERPRINT(
        "the champion's bytes decide no evaluation",
        "mlops_assets.stages.fingerprints:of_evaluation",
        "f'{champion.number} {champion.sha256}'",
        "str(champion.number)",
        f"{DECIDED}test_each_model_and_the_rows_decide_a_verdict",
    ),
    FINGERPRINT(
        "the anchor decides no evaluation",
        "mlops_assets.stages.fingerprints:of_evaluation",
        "anchor or NOTHING",
        "NOTHING",
        f"{DECIDED}test_each_model_and_the_rows_decide_a_verdict",
    ),
    FINGERPRINT(
        "what was added decides nothing",
        "mlops_assets.ml.provenance.digest:differences",
        "{*before, *now}",
        "before",
        "tests/ml/test_fingerprint.py::test_whatever_changed_came_or_went_is_a_difference_and_nothing_else",
    ),
    FINGERPRINT(
        "content that is gone is not made again",
        "mlops_assets.kit.reuse:Reuse._reason",
        "None if stored(before['sha256']) else 'what was stored is missing or changed'",
        "None",
        "tests/test_reuse.py::test_what_was_stored_and_is_not_there_any_more_is_made_again",
    ),
    FINGERPRINT(
        "a run that is told to make everything leaves what is there",
        "mlops_assets.kit.reuse:Reuse._reason",
        "self.forced",
        "False",
        "tests/test_reuse.py::test_a_run_that_is_told_to_makes_everything",
    ),
    FINGERPRINT(
        "the methods that are asked of an object are no part of the code",
        "mlops_assets.ml.provenance.code_digest:_Walk._ask",
        "attribute in module.members[name]",
        "False",
        "tests/ml/test_code_digest.py::test_of_an_object_that_is_handed_in_what_is_asked_of_it_counts_and_nothing_else",
    ),
    FINGERPRINT(
        "the version of a library is no part of the code",
        "mlops_assets.ml.provenance.code_digest:_digest",
        "sorted(parts | {f'{name}=={_version(name)}' for name in walk.libraries & COMPUTES.keys()})",
        "sorted(parts)",
        "tests/ml/test_code_digest.py::test_the_version_of_a_library_that_computes_is_part_of_it",
    ),
    IDENTITY(
        "a fit of other rows is the same version",
        "mlops_assets.stages.identity:version_identity",
        "[spec.name, spec_digest(spec), data.week, data.learnt_from, code_version(spec), kind]",
        "[spec.name, spec_digest(spec), data.week, code_version(spec), kind]",
        "tests/assets/test_held_out_rows.py::test_the_challenger_that_is_registered_and_that_of_a_back_test_are_the_same",
    ),
    IDENTITY(
        "the days that are held out decide no fit",
        "mlops_assets.spec.decides",
        "('task', 'label.above', 'window.days', 'window.hold_out_days')",
        "('task', 'label.above', 'window.days')",
        "tests/ml/test_spec_decides.py::test_every_field_of_a_spec_decides_a_fit_or_is_left_out_for_a_reason",
    ),
    IDENTITY(
        "a fit is registered again each time",
        "resources.tracking.tracking:Tracking._deliver_registration",
        "v.identity == wanted.identity",
        "False",
        f"{TRACKED}test_a_fit_is_logged_once_and_registered_once",
    ),
    IDENTITY(
        "a run that was not logged to its end is registered",
        "resources.tracking.registration:create_version",
        "not is_complete(run)",
        "False",
        f"{TRACKED}test_a_run_that_was_not_logged_to_its_end_is_not_registered",
    ),
    IDENTITY(
        "the model does not tell decisions apart",
        "resources.audit.chain:event_identity",
        "{'identity': dict(identity), 'kind': kind, 'model': model}",
        "{'identity': dict(identity), 'kind': kind}",
        f"{LOGGED}test_the_same_decision_is_one_entry_and_another_one_is_not",
    ),
    IDENTITY(
        "weeks of different feature definitions train one model",
        "mlops_assets.stages.training_set:refuse_mixed_definitions",
        "len(versions) > 1",
        "False",
        "tests/assets/test_training_set.py::test_a_mix_of_feature_definitions_is_refused_and_the_weeks_are_named",
    ),
)
