"""Mutations of what watches a model and asks for a new one: drift, policy."""

from functools import partial

from tests.mutants.mutant import Mutant

DRIFT, POLICY = (partial(Mutant, area) for area in ("drift", "policy"))
PSI = "tests/ml/monitoring/test_psi.py::"
DRIFTED = "tests/ml/monitoring/test_drift.py::"
ALARM = "tests/ml/monitoring/test_alarms.py::"
WHEN = "tests/ml/monitoring/test_policy.py::"

LOST = "tests/ml/monitoring/test_loss_attribution.py::"
CALIBRATED = "tests/ml/monitoring/test_calibration.py::"
RECALIBRATED = "tests/ml/monitoring/test_recalibration.py::"

MUTANTS = (
    DRIFT(
        "what rows that came add to the loss counts by their loss of now alone",
        "mlops_assets.ml.monitoring.loss_attribution:_of_one",
        "known.mean(axis=1) - average",
        "known[:, 1] - average",
        f"{LOST}test_parts_of_slices_add_up_to_the_change_of_the_mean_loss",
    ),
    DRIFT(
        "a column has no part of the loss where contributions cancel",
        "mlops_assets.ml.monitoring.loss_attribution:_added",
        "np.divide(gain, total, out=near, where=np.abs(total) > CLOSE)",
        "np.divide(gain, total, out=0 * near, where=np.abs(total) > CLOSE)",
        f"{LOST}test_columns_that_cancel_each_other_have_opposite_parts",
    ),
    DRIFT(
        "the loss is told against rows of any version",
        "mlops_assets.stages.loss_cause:_rows_before",
        "pl.col(STORED_VERSION) == version",
        "pl.col(STORED_VERSION) <= version",
        "tests/stages/test_loss_cause.py::test_the_first_week_of_a_version_has_nothing_to_be_compared_with_and_says_so",
    ),
    DRIFT(
        "rows of a day count as if each had luck of its own",
        "mlops_assets.ml.monitoring.calibration:calibration",
        "np.unique(day, return_inverse=True, return_counts=True)",
        "np.unique(np.arange(len(day)), return_inverse=True, return_counts=True)",
        f"{CALIBRATED}test_calibrated_scores_are_called_off_as_rarely_as_the_level_says_although_days_share_their_luck",
    ),
    DRIFT(
        "a step without a day still counts what the day knows",
        "mlops_assets.ml.monitoring.calibration:_without_each_day",
        "(part.sum() - part for part in sums[2:])",
        "(part.sum() + 0 * part for part in sums[2:])",
        f"{CALIBRATED}test_the_interval_is_that_of_one_newton_step_without_each_day",
    ),
    DRIFT(
        "slices are not corrected for their number",
        "mlops_assets.ml.monitoring.calibration:corrected",
        "holm([p for one in parts for p in (one.large.p, one.slope.p)])",
        "[p for one in parts for p in (one.large.p, one.slope.p)]",
        f"{CALIBRATED}test_p_values_of_slices_are_corrected_for_all_of_both_questions",
    ),
    DRIFT(
        "a shift does not even the means",
        "mlops_assets.ml.monitoring.recalibration:recalibration",
        "Recalibration(1.0, evening_shift(odds, target))",
        "Recalibration(1.0, evening_shift(odds, target) / 2)",
        f"{RECALIBRATED}test_a_planted_shift_is_found_within_four_of_its_standard_errors",
    ),
    DRIFT(
        "a recalibration turns the order of scores",
        "mlops_assets.ml.monitoring.recalibration:recalibration",
        "slope <= 0",
        "False",
        f"{RECALIBRATED}test_scores_that_order_the_rows_the_wrong_way_are_refused",
    ),
    DRIFT(
        "a row alone is not recalibrated",
        "mlops_assets.ml.training.recalibrated:RecalibratedModel.predict_row",
        "float(self.recalibration.scores(np.array([self.inner.predict_row(row)]))[0])",
        "self.inner.predict_row(row)",
        "tests/ml/training/trainers/test_recalibrated_models.py::test_its_scores_are_those_of_its_model_recalibrated_by_frame_matrix_column_and_row",
    ),
    DRIFT(
        "a recalibration learns from the held-out days",
        "mlops_assets.stages.recalibrating:rows_since",
        "start if hold_out and not late else data.now",
        "data.now",
        "tests/assets/test_recalibrated_challenger.py::test_it_learns_from_no_row_that_the_champion_has_seen_or_the_gate_judges_by",
    ),
    DRIFT(
        "a recalibration learns from what the champion has seen",
        "mlops_assets.stages.recalibrating:rows_since",
        "champion.trained_until",
        "spec.calendar.first.start",
        "tests/assets/test_recalibrated_challenger.py::test_it_learns_from_no_row_that_the_champion_has_seen_or_the_gate_judges_by",
    ),
    DRIFT(
        "PSI is not of shares of each side's own rows",
        "mlops_assets.ml.monitoring.psi:psi",
        "_shares(side[used])",
        "np.maximum(side[used] / float(expected.sum()), SMALLEST_SHARE)",
        f"{PSI}test_psi_is_that_of_the_definition_whatever_the_sizes_of_the_sides",
    ),
    DRIFT(
        "counts are not divided by their rows",
        "mlops_assets.ml.monitoring.psi:_shares",
        "counts / rows",
        "counts",
        f"{PSI}test_a_side_that_is_many_times_as_large_has_the_same_shares",
    ),
    DRIFT(
        "what chance makes of a PSI counts",
        "mlops_assets.ml.monitoring.psi:Psi.value",
        "self.raw - self.expected",
        "self.raw",
        f"{PSI}test_psi_is_that_of_the_definition_whatever_the_sizes_of_the_sides",
    ),
    DRIFT(
        "a PSI that chance reaches is drift",
        "mlops_assets.ml.monitoring.psi:Psi.exceeds",
        "max(limit, self.chance)",
        "limit",
        f"{PSI}test_categories_of_one_distribution_have_not_drifted_however_many_there_are",
    ),
    DRIFT(
        "a PSI is given of too few rows",
        "mlops_assets.ml.monitoring.psi:measured",
        "min(n, m) < LEAST_ROWS",
        "max(n, m) < LEAST_ROWS",
        f"{PSI}test_too_few_rows_on_either_side_are_said_and_no_figure_is_given",
    ),
    DRIFT(
        "rows without a value are in no bin",
        "mlops_assets.ml.monitoring.drift:_compare_numbers",
        "len(column) - len(values)",
        "0",
        f"{DRIFTED}test_nulls_are_a_bin_of_their_own_and_reported_as_shares",
    ),
    DRIFT(
        "a value that fills several deciles has no bin of its own",
        "mlops_assets.ml.monitoring.bins:inner_edges",
        "np.concatenate([deciles, np.nextafter(deciles[times > 1], np.inf)])",
        "deciles",
        f"{DRIFTED}test_a_column_of_mostly_zeros_still_shows_that_the_rest_grew",
    ),
    DRIFT(
        "columns of too few rows are in the share of drifted ones",
        "mlops_assets.ml.monitoring.drift:summary",
        "drifted / measured_columns.height if measured_columns.height else None",
        "drifted / drift.height",
        f"{PSI}test_columns_of_too_few_rows_are_in_no_share",
    ),
    DRIFT(
        "an alarm is raised by a threshold that no history was asked for",
        "mlops_assets.ml.monitoring.alarms:_outcome",
        "statistic >= threshold",
        "statistic >= 1.0",
        f"{ALARM}test_where_nothing_changes_alarms_are_as_rare_as_stated",
    ),
    DRIFT(
        "an estimate is calibrated on labels of later",
        "mlops_assets.stages.known_before:known_before",
        "spec.calendar.partition(name).end",
        "spec.calendar.partition(name).end.replace(year=2100)",
        "tests/stages/test_estimating.py::test_labels_that_became_known_after_a_weeks_end_change_nothing_of_its_estimate",
    ),
    POLICY(
        "a paused model is retrained",
        "mlops_assets.ml.monitoring.policy:decide",
        "spec.automation == 'paused'",
        "False",
        f"{WHEN}test_a_paused_model_is_never_retrained",
    ),
    POLICY(
        "there is no cool-down",
        "mlops_assets.ml.monitoring.policy:decide",
        "spec.calendar.days_between(last, now) < spec.retrain.cool_down_days",
        "False",
        f"{WHEN}test_nothing_is_retrained_inside_the_cool_down",
    ),
    POLICY(
        "a week that has not ended is evidence",
        "mlops_assets.ml.monitoring.policy:_newest",
        "moment(w.end) <= now",
        "True",
        f"{WHEN}test_weeks_that_have_not_ended_are_not_seen",
    ),
    POLICY(
        "the first model does not wait for the minimum of history",
        "mlops_assets.ml.monitoring.policy:_first",
        "days < needed",
        "False",
        f"{WHEN}test_the_first_model_waits_for_the_minimum_of_history",
    ),
    POLICY(
        "age is reached a day late",
        "mlops_assets.ml.monitoring.policy:_age",
        "days >= limit",
        "days > limit",
        f"{WHEN}test_age_is_reached_on_its_day",
    ),
    POLICY(
        "a better week asks for a retraining",
        "mlops_assets.ml.monitoring.policy:_performance",
        "goodness(metric, seen.reference) - goodness(metric, seen.metric)",
        "goodness(metric, seen.metric) - goodness(metric, seen.reference)",
        f"{WHEN}test_for_an_error_metric_worse_means_larger",
    ),
    POLICY(
        "drift within chance asks for a retraining",
        "mlops_assets.ml.monitoring.policy:_prediction_drift",
        "value > max(limit, chance)",
        "value > limit",
        f"{WHEN}test_what_so_few_rows_reach_by_chance_asks_for_nothing_and_too_few_rows_for_nothing_either",
    ),
)
