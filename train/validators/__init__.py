"""Rules that choose an epoch without a target label: a file each, found and ordered by `suite`."""
