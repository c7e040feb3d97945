"""Mutations of what is on record, and of what tells one thing from another: audit, fingerprint, identity."""

from functools import partial

from tests.mutants.mutant import Mutant

AUDIT, FINGERPRINT, IDENTITY = (partial(Mutant, area) for area in ("audit", "fingerprint", "identity"))
TRACKED = "tests/resources/test_tracking.py::"
LOGGED = "tests/resources/audit/test_audit_log.py::"
TAMPERED = "tests/resources/audit/test_tampering.py::"
WRITERS = "tests/resources/audit/test_writers.py::"
FLUSHED = "tests/resources/test_durable_writes.py::"
DECIDED = "tests/stages/test_fingerprints.py::"

MUTANTS = (
    AUDIT(
        "an append is not flushed to disk",
        "resources.storage.durable:create_bytes",
        "_place(path, content, second_name)",
        "_place(path, content, second_name, False)",
        f"{FLUSHED}test_an_entry_of_the_audit_log_is_on_disk_before_anybody_is_told_so",
    ),
    AUDIT(
        "an entry does not say which one it follows",
        "resources.audit.chain:entry_line",
        "place.hash",
        "GENESIS",
        f"{LOGGED}test_a_log_as_it_was_written_is_whole",
    ),
    AUDIT(
        "what an entry follows is not checked",
        "resources.audit.chain:follow",
        "ends.previous != place.hash",
        "False",
        f"{TAMPERED}test_an_entry_of_another_log_with_the_same_key_does_not_follow",
    ),
    AUDIT(
        "a line with another hash is an entry",
        "resources.audit.chain:envelope_of",
        "ends.hash == digest",
        "True",
        f"{TAMPERED}test_any_byte_that_is_changed_is_found_with_its_entry",
    ),
    AUDIT(
        "an entry stands under any number",
        "resources.audit.chain:follow",
        "ends.seq != seq",
        "False",
        f"{TAMPERED}test_any_other_order_of_the_entries_is_found_with_the_first_that_stands_wrong",
    ),
    AUDIT(
        "an entry goes back in time",
        "resources.audit.chain:follow",
        "ends.at < place.at",
        "False",
        f"{TAMPERED}test_an_entry_that_goes_back_in_time_is_found_though_it_is_sealed",
    ),
    AUDIT(
        "a clock that was set back takes the log back in time",
        "resources.audit.journal:Journal._next",
        "max(now, self._place.at)",
        "now",
        f"{LOGGED}test_a_clock_that_was_set_back_takes_no_entry_back_and_is_named",
    ),
    AUDIT(
        "any seal fits",
        "resources.audit.keys:Key.fits",
        "hmac.compare_digest(self.seal(what, digest), seal)",
        "True",
        f"{TAMPERED}test_an_entry_that_names_the_key_and_was_not_sealed_with_it_is_forged",
    ),
    AUDIT(
        "a retired key goes on sealing",
        "resources.audit.chain:_refuse_seal",
        "place.key not in (None, ends.key)",
        "False",
        "tests/resources/audit/test_audit_keys.py::test_a_retired_key_seals_nothing_any_more",
    ),
    AUDIT(
        "a head is believed whoever wrote it",
        "resources.audit.chain:head_of",
        "text != head_text(place, key)",
        "False",
        f"{TAMPERED}test_any_byte_of_the_head_that_is_changed_is_found",
    ),
    AUDIT(
        "an entry is written over the one of another process",
        "resources.audit.journal:Journal.append",
        "self.storage.put_if_absent(name, line)",
        "self.storage.write(name, line)",
        f"{WRITERS}test_processes_that_append_at_once_lose_fork_and_double_nothing",
    ),
    AUDIT(
        "another's entry comes between what a check read and its entry",
        "resources.audit.journal:Journal.append",
        "self._place != before",
        "False",
        f"{WRITERS}test_nobodys_entry_comes_between_what_a_check_read_and_the_entry_that_it_allowed",
    ),
    AUDIT(
        "what a check refuses is recorded",
        "resources.audit.journal:Journal.append",
        "check()",
        "pass",
        f"{WRITERS}test_what_a_check_refuses_is_not_recorded",
    ),
    AUDIT(
        "the head does not follow the entries",
        "resources.audit.journal:Journal._follow_own",
        "self._bring_head()",
        "pass",
        f"{LOGGED}test_a_log_whose_end_is_cut_off_under_a_running_process_is_not_gone_on_with",
    ),
    AUDIT(
        "the same decision is two entries",
        "resources.audit.journal:Journal.append",
        "(line := self._line_of(event))",
        "(line := None)",
        f"{LOGGED}test_the_same_decision_is_one_entry_and_another_one_is_not",
    ),
    AUDIT(
        "entries go on beside a log that is not what its head says",
        "resources.audit.journal:Journal._hold_to",
        "refuse_other_head(head_of(head.content, self._keys), self._start, self._sealed_lines())",
        "pass",
        f"{LOGGED}test_nothing_is_read_from_a_log_that_is_not_what_was_written_or_recorded_in_it",
    ),
    AUDIT(
        "a log that was written anew is not noticed",
        "resources.audit.verification:_remembered",
        "walk.hashes[seq] != digest",
        "False",
        f"{TAMPERED}test_a_log_that_its_key_holder_writes_anew_is_found_by_what_remembers_it_elsewhere",
    ),
    AUDIT(
        "a decision that is sealed twice is not noticed",
        "resources.audit.verification:_Walk.follow",
        "event in self.events",
        "False",
        f"{TAMPERED}test_a_decision_that_is_sealed_twice_is_doubled",
    ),
    FINGERPRINT(
        "the gate decides no evaluation",
        "mlops_assets.spec.decides",
        "('prediction', 'label', 'slices', 'task', 'window', 'gate', 'trainer')",
        "('prediction', 'label', 'slices', 'task', 'window', 'trainer')",
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
        "tests/ml/provenance/test_fingerprint.py::test_whatever_changed_came_or_went_is_a_difference_and_nothing_else",
    ),
    FINGERPRINT(
        "content that is gone is not made again",
        "mlops_assets.kit.reuse:Reuse._reason",
        "None if stored(before.sha256) else 'what was stored is missing or changed'",
        "None",
        "tests/kit/test_reuse.py::test_what_was_stored_and_is_not_there_any_more_is_made_again",
    ),
    FINGERPRINT(
        "a run that is told to make everything leaves what is there",
        "mlops_assets.kit.reuse:Reuse._reason",
        "self.forced",
        "False",
        "tests/kit/test_reuse.py::test_a_run_that_is_told_to_makes_everything",
    ),
    FINGERPRINT(
        "the methods that are asked of an object are no part of the code",
        "mlops_assets.ml.provenance.code_digest:_Walk._ask",
        "attribute in module.members[name]",
        "False",
        "tests/ml/provenance/test_code_digest.py::test_of_an_object_that_is_handed_in_what_is_asked_of_it_counts_and_nothing_else",
    ),
    FINGERPRINT(
        "the version of a library is no part of the code",
        "mlops_assets.ml.provenance.code_digest:_digest",
        "sorted(parts | {f'{name}=={_version(computing[name])}' for name in used})",
        "sorted(parts)",
        "tests/ml/provenance/test_code_digest.py::test_the_version_of_a_library_that_computes_is_part_of_it",
    ),
    IDENTITY(
        "a fit of other rows is the same version",
        "mlops_assets.stages.identity:version_identity",
        "[spec.name, spec_digest(spec), data.partition, data.learnt_from, code_version(spec), kind]",
        "[spec.name, spec_digest(spec), data.partition, code_version(spec), kind]",
        "tests/assets/test_held_out_rows.py::test_the_challenger_that_is_registered_and_that_of_a_back_test_are_the_same",
    ),
    IDENTITY(
        "the days that are held out decide no fit",
        "mlops_assets.spec.decides",
        "('window.days', 'window.hold_out_days')",
        "('window.days',)",
        "tests/spec/test_spec_decides.py::test_every_field_of_a_spec_decides_a_fit_or_is_left_out_for_a_reason",
    ),
    IDENTITY(
        "a fit is registered again each time",
        "resources.tracking.tracking:Tracking._deliver_registration",
        "v.identity == order.identity",
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
