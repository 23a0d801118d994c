"""One extraction job: the plan, what of it is left, the feature folder it fills."""
