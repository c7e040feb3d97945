"""Whether a challenger is better: metrics, paired test, guard-rails, gate."""
