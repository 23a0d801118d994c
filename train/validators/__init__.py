"""Rules that choose an epoch without a target label, one file each.

`names` says what they are and needs no torch; `suite` computes them.
"""
