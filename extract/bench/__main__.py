"""`python -m ta3n.extract.bench`."""

from ta3n.extract.bench.run import main

main()
