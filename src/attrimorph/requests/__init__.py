"""What a person can ask for: one class for each verb, its options, its receipt, and what a replay reads."""
