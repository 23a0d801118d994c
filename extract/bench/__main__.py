"""`python -m ta3n.extract.bench`."""

from ta3n.extract.bench.report import main

main()
