"""The training loop: batches, schedule, one step, seeds stacked."""
