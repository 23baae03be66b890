"""Networks: torch.nn only. They know no loss, no optimiser, no data."""
