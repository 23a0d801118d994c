"""From decoded frames to features: preprocessing, the network in its fastest form, batches."""
