"""Mutations of how a champion changes: alias, publish."""

from functools import partial

from tests.mutants.mutant import Mutant

ALIAS, PUBLISH = (partial(Mutant, area) for area in ("alias", "publish"))
TRACKED = "tests/resources/test_tracking.py::"
CHANGED = "tests/resources/test_champion_changes.py::"
GROUNDED = "tests/resources/test_champion_grounds.py::"
DEPLOYED = "tests/stages/test_deploying.py::"

MUTANTS = (
    ALIAS(
        "the champion before is forgotten",
        "resources.tracking.tracking:Tracking.promote",
        "self._set_alias(name, PREVIOUS, replaces)",
        "pass",
        f"{TRACKED}test_promotion_moves_champion_and_previous",
    ),
    ALIAS(
        "anybody may set the champion's alias",
        "resources.tracking.tracking:Tracking.set_alias",
        "alias in (CHAMPION, PREVIOUS)",
        "False",
        f"{CHANGED}test_the_registry_sets_no_champion_but_through_the_record",
    ),
    ALIAS(
        "two versions were champion at one moment",
        "resources.tracking.registration:record_promotion",
        "before - at",
        "before",
        f"{CHANGED}test_of_two_versions_that_became_champion_at_one_moment_the_later_one_was_it",
    ),
    ALIAS(
        "a model file that was changed is loaded",
        "resources.tracking.tracking:Tracking.load",
        "sha256(content) != version.sha256",
        "False",
        f"{TRACKED}test_the_models_bytes_come_back_and_a_changed_file_is_refused",
    ),
    ALIAS(
        "evidence about another champion promotes",
        "mlops_assets.promotion.champion:_refuse",
        "now not in (change.replaces, change.version)",
        "False",
        f"{CHANGED}test_evidence_about_another_champion_is_refused",
    ),
    ALIAS(
        "what was rolled back is promoted again by itself",
        "mlops_assets.promotion.champion:_refuse",
        "back is not None",
        "False",
        f"{CHANGED}test_what_was_rolled_back_is_not_promoted_again_by_itself",
    ),
    ALIAS(
        "a change counts from before the one it follows",
        "mlops_assets.promotion.champion:_append",
        "max(change.moment, before or change.moment)",
        "change.moment",
        f"{CHANGED}test_a_change_never_counts_from_an_earlier_moment_than_the_one_before",
    ),
    ALIAS(
        "a rollback goes to the first champion",
        "mlops_assets.promotion.champion:_target",
        "earlier[-1]",
        "earlier[0]",
        f"{CHANGED}test_one_rollback_after_the_other_goes_one_further_back_each_time",
    ),
    ALIAS(
        "the anchor is the oldest that was shown to be better",
        "mlops_assets.promotion.history:find_anchor",
        "reversed(line)",
        "line",
        "tests/resources/test_champions.py::test_it_is_the_last_in_the_line_that_was_shown_to_be_better_else_the_first",
    ),
    PUBLISH(
        "a change is recorded and the endpoint does not follow",
        "mlops_assets.promotion.following:_serve",
        "endpoint.publish(record)",
        "pass",
        f"{CHANGED}test_a_rollback_returns_to_the_champion_before_and_the_endpoint_follows",
    ),
    PUBLISH(
        "the registry does not follow the log",
        "mlops_assets.promotion.following:followed",
        "champion != change.version or remembered != (change.seq, change.hash)",
        "False",
        f"{CHANGED}test_a_change_is_recorded_with_its_evidence_and_moves_both_aliases",
    ),
    PUBLISH(
        "a log whose end was cut off is followed",
        "mlops_assets.promotion.following:followed",
        "remembered is not None and remembered > (change.seq, '') and remembered != (change.seq, change.hash)",
        "False",
        f"{CHANGED}test_a_log_whose_end_was_cut_off_is_not_followed",
    ),
    PUBLISH(
        "a model that is not deployed any more goes on answering",
        "mlops_assets.promotion.following:_serve",
        "SERVES in change.evidence and endpoint.withdraw(_model(change))",
        "False",
        f"{CHANGED}test_a_model_whose_deployment_is_switched_off_is_withdrawn_by_its_next_promotion",
    ),
    PUBLISH(
        "a record that was changed on disk is gone back to",
        "mlops_assets.promotion.following:_earlier_record",
        "known and not known & digests(record)",
        "False",
        f"{CHANGED}test_a_record_that_an_earlier_release_kept_is_gone_back_to_unless_it_was_changed",
    ),
    PUBLISH(
        "the moment of what is served goes back",
        "resources.storage.moment_files:move_forward",
        "before is not None and before >= moment",
        "False",
        "tests/resources/test_moment_files.py::test_an_earlier_moment_changes_nothing",
    ),
    PUBLISH(
        "a challenger that failed the gate is deployed",
        "mlops_assets.stages.deploying:passed_gate",
        "not attempt.promote",
        "False",
        f"{DEPLOYED}test_a_challenger_that_was_rejected_is_refused_with_the_verdict",
    ),
    PUBLISH(
        "a challenger is deployed by the evaluation of another",
        "mlops_assets.stages.deploying:judged",
        "attempt.challenger.version == candidate.version",
        "True",
        f"{DEPLOYED}test_a_challenger_is_refused_that_was_not_judged_or_whose_week_judged_another",
    ),
    PUBLISH(
        "an evaluation whose record was changed promotes",
        "mlops_assets.promotion.approval:warranted",
        "audit.find('evaluated', spec.name, {'evaluation': digest}) is None",
        "False",
        "tests/acceptance/test_promotion_record.py::test_an_evaluation_whose_record_was_changed_afterwards_promotes_nothing",
    ),
    PUBLISH(
        "a change that rests on nothing is followed",
        "mlops_assets.promotion.following:followed",
        "refuse_unfounded(audit, change)",
        "pass",
        f"{GROUNDED}test_a_planted_promotion_moves_nothing_and_is_told_with_what_to_do",
    ),
    PUBLISH(
        "a change is recorded whatever it rests on",
        "mlops_assets.promotion.champion:_refuse_now",
        "_refuse_unfounded(change, now, audit)",
        "None",
        f"{GROUNDED}test_evidence_that_does_not_match_is_refused_before_it_is_recorded_and_not_followed_after",
    ),
    PUBLISH(
        "an evaluation that failed is grounds for a promotion",
        "mlops_assets.promotion.grounds:Grounds._of_evaluation",
        "not evaluated.evidence['passed']",
        "False",
        f"{GROUNDED}test_evidence_that_does_not_match_is_refused_before_it_is_recorded_and_not_followed_after",
    ),
    PUBLISH(
        "anybody's approval is grounds for a promotion",
        "mlops_assets.promotion.grounds:Grounds._of_approval",
        "approval.by not in (*spec['promotion']['approvers'], *then['promotion']['approvers'])",
        "False",
        f"{GROUNDED}test_where_the_spec_asks_for_an_approval_one_that_matches_must_be_in_the_log",
    ),
)
