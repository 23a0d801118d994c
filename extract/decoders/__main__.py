"""`python -m ta3n.extract.decoders CONNECTION BLOCKS`: a decoder, started by its pool."""

from ta3n.extract.decoders.decoder import main

if __name__ == "__main__":
    main()
