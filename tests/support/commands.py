"""Our commands as small data need them: many shards, and a checkpoint after every epoch.

Run as a script: the name of the command, then its arguments.
"""

import sys

from ta3n.extract import cli as extract_cli
from ta3n.extract import features_cli
from ta3n.extract.job import plan
from ta3n.train import cli as train_cli
from ta3n.train.report import cli as report_cli

CLIPS_PER_SHARD = 2
MAINS = (extract_cli.main, features_cli.main, train_cli.main, report_cli.main)

if __name__ == "__main__":
    plan._CLIPS_PER_SHARD = CLIPS_PER_SHARD
    command = next(main for main in MAINS if main.name == sys.argv[1])
    if command is train_cli.main:
        from ta3n.train.runs import session

        session._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    command(sys.argv[2:])
