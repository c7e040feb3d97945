"""Mutations of what trains and judges a model: gate, split."""

from functools import partial

from tests.mutants.mutant import Mutant

GATE, SPLIT, LABELS = (partial(Mutant, area) for area in ("gate", "split", "labels"))
JUDGED = "tests/ml/judging/test_promotion.py::"
PAIRED = "tests/ml/judging/test_paired.py::"
GUARDS = "tests/ml/judging/test_guardrails.py::"
ANCHOR = "tests/ml/judging/test_anchor.py::"
HELD_OUT = "tests/assets/test_held_out_rows.py::"
ROWS = "tests/ml/test_dataset.py::"
KNOWN = "tests/ml/test_labels.py::"
IN_COLUMNS = "tests/assets/test_labels_in_columns.py::"

MUTANTS = (
    GATE(
        "promotes where any criterion passes",
        "mlops_assets.ml.judging.gate:decision",
        "all(c.passes for c in criteria)",
        "any(c.passes for c in criteria)",
        f"{JUDGED}test_by_point_no_challenger_passes_that_misses_a_floor_or_is_worse_by_more_than_the_tolerance",
    ),
    GATE(
        "a floor is reached by any number",
        "mlops_assets.ml.judging.gate:_floor",
        "goodness(name, value) >= goodness(name, floor)",
        "True",
        f"{JUDGED}test_all_missed_floors_are_named",
    ),
    GATE(
        "non-inferiority allows twice the tolerance",
        "mlops_assets.ml.judging.gate:evidence_criterion",
        "-gate.tolerance",
        "-2 * gate.tolerance",
        f"{JUDGED}test_the_interval_decides_superiority_and_non_inferiority",
    ),
    GATE(
        "evidence of too few days counts",
        "mlops_assets.ml.judging.gate:evidence_criterion",
        "effect.clusters >= gate.minimum_clusters and shows(p, gate.alpha)",
        "shows(p, gate.alpha)",
        f"{JUDGED}test_too_few_days_show_nothing_however_clear_they_are",
    ),
    GATE(
        "a model is judged on rows that it has seen",
        "mlops_assets.ml.judging.gate:judge",
        "refuse_seen(side, hold_out, spec)",
        "pass",
        f"{ANCHOR}test_a_model_is_judged_on_no_row_that_was_there_while_it_was_trained",
    ),
    GATE(
        "two versions with the same bytes are compared",
        "mlops_assets.ml.judging.contender:refuse_itself",
        "challenger.sha256 != champion.sha256 and challenger.name != champion.name",
        "challenger.name != champion.name",
        f"{JUDGED}test_a_version_is_not_compared_with_itself",
    ),
    GATE(
        "a test is passed at twice alpha",
        "mlops_assets.ml.judging.paired:shows",
        "p <= alpha",
        "p <= 2 * alpha",
        f"{JUDGED}test_the_interval_decides_superiority_and_non_inferiority",
    ),
    GATE(
        "the jackknife leaves out its factor of clusters",
        "mlops_assets.ml.judging.paired:_error",
        "((values[1:] - values[0]) ** 2).sum() * (count - 1) / count",
        "((values[1:] - values[0]) ** 2).sum() / count",
        f"{PAIRED}test_gain_error_and_freedom_are_those_worked_out_by_hand",
    ),
    GATE(
        "days of unequal size count in full",
        "mlops_assets.ml.judging.paired:_freedom",
        "float(sizes.sum()) ** 2 / float((sizes**2.0).sum()) - 1",
        "float(len(sizes) - 1)",
        f"{PAIRED}test_gain_error_and_freedom_are_those_worked_out_by_hand",
    ),
    GATE(
        "a day is one of UTC",
        "mlops_assets.ml.judging.gate:clusters",
        "frame[spec.prediction.time].dt.convert_time_zone(spec.calendar.timezone)",
        "frame[spec.prediction.time]",
        f"{JUDGED}test_a_day_lasts_from_midnight_to_midnight_where_the_model_lives",
    ),
    GATE(
        "p values of slices are not corrected for their number",
        "mlops_assets.ml.judging.guardrails:_slice_criteria",
        "_not_shown(corrected, gate.alpha)",
        "_not_shown(p, gate.alpha)",
        f"{GUARDS}test_of_many_equal_challengers_no_more_than_alpha_are_held_back_by_any_of_their_slices",
    ),
    GATE(
        "a harmed slice trips nothing",
        "mlops_assets.ml.judging.guardrails:_slice_criteria",
        "effect.p_below(-tolerance)",
        "effect.p_above(-tolerance)",
        f"{GUARDS}test_a_slice_that_is_harmed_trips_though_the_challenger_is_better_on_the_whole",
    ),
    GATE(
        "Holm's correction multiplies by one factor too few",
        "mlops_assets.ml.judging.paired:holm",
        "len(values) - np.arange(len(values))",
        "len(values) - np.arange(len(values)) - 1",
        f"{PAIRED}test_holm_gives_the_values_of_a_worked_example",
    ),
    GATE(
        "an overconfident challenger passes the calibration",
        "mlops_assets.ml.judging.guardrails:calibration_guard",
        "_not_shown(p, spec.gate.alpha)",
        "True",
        f"{GUARDS}test_an_overconfident_challenger_trips_the_calibration",
    ),
    GATE(
        "a guard-rail whose test could not be made holds",
        "mlops_assets.ml.judging.guardrails:_not_shown",
        "p is not None and not shows(p, alpha)",
        "not shows(p, alpha)",
        "tests/ml/judging/test_undefined.py::test_a_slice_that_cannot_be_tested_fails_its_guard",
    ),
    GATE(
        "whoever is worse than the anchor passes",
        "mlops_assets.ml.judging.anchor:anchor_criterion",
        "within or better",
        "True",
        f"{ANCHOR}test_it_passes_within_the_margin_or_by_superiority_over_the_champion_and_never_else",
    ),
    GATE(
        "the anchor's margin is never spent",
        "mlops_assets.ml.judging.anchor:budget",
        "max(0.0, margin - spent)",
        "margin",
        f"{ANCHOR}test_what_is_left_is_the_margin_less_what_the_champion_has_lost",
    ),
    SPLIT(
        "a challenger trains on the held-out days",
        "mlops_assets.stages.training:train_challenger",
        "training_files(spec, data)",
        "training_files(spec, data, hold_out=False)",
        f"{HELD_OUT}test_the_challenger_that_is_registered_and_that_of_a_back_test_are_the_same",
    ),
    SPLIT(
        "nothing is held out of any fit",
        "mlops_assets.stages.training:training_files",
        "Files(data.paths, start, since)",
        "Files(data.paths, data.now, since)",
        f"{HELD_OUT}test_a_row_is_trained_on_or_held_out_or_neither_and_never_both",
    ),
    SPLIT(
        "rows whose label was known before are held out, though they were trained on",
        "mlops_assets.stages.judging:hold_out",
        "rows.filter(known_at(spec) > start)",
        "rows",
        f"{HELD_OUT}test_a_row_is_trained_on_or_held_out_or_neither_and_never_both",
    ),
    SPLIT(
        "whatever a version has seen, it is a fair opponent",
        "mlops_assets.stages.opponents:unseen",
        "version.trained_until is not None and version.trained_until <= start",
        "True",
        "tests/assets/test_opponents.py::test_the_fit_is_the_version_or_its_challenger_whichever_has_not_seen_the_days",
    ),
    SPLIT(
        "a label counts before it is known",
        "mlops_assets.ml.labels:Labels.is_known",
        "self.known <= self.now",
        "self.known.is_not_null()",
        f"{ROWS}test_a_label_known_after_now_is_left_out_and_counted",
    ),
    SPLIT(
        "a window holds its end",
        "mlops_assets.ml.dataset:between",
        "time < moment(end)",
        "time <= moment(end)",
        f"{ROWS}test_a_window_holds_its_start_and_not_its_end",
    ),
    SPLIT(
        "a moment lies on both sides of a split",
        "mlops_assets.ml.dataset:split_newest",
        "_whole_moment(ordered[time_column], round(ordered.height * (1 - share)))",
        "round(ordered.height * (1 - share))",
        f"{ROWS}test_a_split_keeps_every_row_once_and_every_moment_on_one_side",
    ),
    SPLIT(
        "the oldest rows decide when a fit stops",
        "mlops_assets.ml.dataset:split_moment",
        "round(len(times) * (1 - share))",
        "round(len(times) * share)",
        "tests/ml/training/test_training.py::test_the_early_stopped_model_equals_a_fit_of_so_many_rounds_on_the_older_rows",
    ),
    SPLIT(
        "every worker reads all rows",
        "mlops_assets.ml.training.shards:Files.part",
        "self._stripes(size)[rank::size]",
        "self._stripes(size)",
        "tests/ml/training/test_shards.py::test_the_shares_of_all_workers_are_all_rows_each_once",
    ),
    SPLIT(
        "a row is scored by the champion after it",
        "mlops_assets.stages.scoring:score",
        "'backward'",
        "'forward'",
        "tests/assets/test_predictions.py::test_a_row_is_scored_by_the_champion_of_its_own_prediction_time",
    ),
    LABELS(
        "a row counts as soon as its own label is known",
        "mlops_assets.ml.labels:Labels.usable",
        "self.matured & self.has & self.is_known",
        "self.has & self.is_known",
        f"{KNOWN}test_the_base_rate_of_the_rows_that_count_is_that_of_the_same_days_when_all_is_known",
    ),
    LABELS(
        "a correction counts before it was known",
        "mlops_assets.ml.labels:Labels.__init__",
        "pl.col(LABEL_KNOWN) > self.now",
        "pl.lit(value=False)",
        f"{KNOWN}test_of_two_outcomes_the_newest_that_was_known_at_the_asked_moment_counts",
    ),
    LABELS(
        "an event that is known after its span happened in it",
        "mlops_assets.ml.labels:Labels.happened",
        "self.has & self.is_known & in_time",
        "self.has & self.is_known",
        f"{KNOWN}test_an_event_that_is_known_after_its_span_did_not_happen_in_it",
    ),
    LABELS(
        "the hold-out ends at now, where no label is",
        "mlops_assets.spec.maturity:held_out_from",
        "matured_until(spec, now)",
        "now",
        "tests/spec/test_spec_label.py::test_the_hold_out_is_of_the_days_whose_horizon_has_passed",
    ),
    LABELS(
        "a challenger is trained on the held-out days",
        "mlops_assets.stages.training:training_files",
        "Files(data.paths, data.now, since, start)",
        "Files(data.paths, data.now, since)",
        f"{IN_COLUMNS}test_with_a_horizon_a_row_is_trained_on_or_held_out_or_neither_and_never_both",
    ),
    LABELS(
        "the first report is overwritten",
        "mlops_assets.stages.reporting:write_performance",
        "first_report(spec, lake, name) or report",
        "report",
        f"{IN_COLUMNS}test_what_was_first_reported_is_never_overwritten",
    ),
    LABELS(
        "a report is made again for every week that is not complete",
        "mlops_assets.stages.label_state:labels_due",
        "None if content == state['content'] else content",
        "content",
        f"{IN_COLUMNS}test_a_report_is_made_again_for_exactly_the_weeks_that_labels_came_for",
    ),
)
