"""What each column of a drift report says, for who reads it."""

MEANINGS = {
    "column": "The feature that is compared.",
    "psi": "Population stability index, less what two samples of one distribution have: 0.1 is usually called small, 0.25 large.",
    "psi_raw": "The index by its definition, with rows without a value as a bin of their own.",
    "psi_expected": "What two samples of so many rows of one distribution have on average.",
    "psi_chance": "What `psi` exceeds once in a thousand by chance alone; below it a column has not drifted.",
    "wasserstein": "How far the values moved, in standard deviations of the reference: the mean distance of 101 quantiles; of numbers.",
    "nulls_reference": "Share of the reference's rows without a value, NaN and infinity among them.",
    "nulls_current": "Share of the partition's rows without a value.",
    "ks": "Kolmogorov-Smirnov statistic: the largest gap between the shares of rows up to a value, 0 to 1; of numbers.",
    "ks_error": "How far `ks` may be from that of the reference's rows, of which 256 values are kept; 0 where there are no more.",
    "jensen_shannon": "Jensen-Shannon distance (natural logarithm, 0 to 0.83) on the reference's deciles, of categories on their values.",
    "chi_square": "Pearson's statistic that both sides have the same shares of values; of categories.",
    "chi_square_freedom": "Its degrees of freedom: it is about so large where nothing moved.",
    "new_categories": "Different values that the reference does not have; of categories.",
    "new_share": "Share of the partition's rows with one of these.",
    "drifted": "Whether `psi` exceeds both `drift.psi` and `psi_chance`; null where there are too few rows to tell.",
    "remark": "Why there is no PSI.",
}
