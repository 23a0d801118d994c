"""Tables print the rules; they must be complete, and cheap to import."""

import subprocess
import sys
from typing import get_args

from ta3n.train.validators.names import RULES, ValidatorName


def test_every_rule_is_described_once() -> None:
    assert tuple(rule.name for rule in RULES) == get_args(ValidatorName)
    for rule in RULES:
        assert all((rule.description, rule.citation, rule.needs))
        assert "\n" not in rule.description + rule.citation + rule.needs


def test_names_need_no_torch() -> None:
    program = "import sys, ta3n.train.validators.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd="/").returncode == 0
