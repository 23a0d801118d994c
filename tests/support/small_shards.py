"""`ta3n-extract` with one clip a shard, so that small data make many shards. Run as a script."""

from ta3n.extract.cli import main
from ta3n.extract.job import plan

if __name__ == "__main__":
    plan._CLIPS_PER_SHARD = 1
    main()
