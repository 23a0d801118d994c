"""The work of a job: shards made of what decoders give, published beside the network."""
