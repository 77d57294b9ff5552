"""Findings beside truth: evaluation suites today; datasets, training and federation as they come."""
