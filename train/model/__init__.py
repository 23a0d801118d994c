"""The network: spatial module, temporal modules, attention, discriminators, classifier."""
