"""``make soak``: workers at 70 % of capacity, a fault every minute, thousands of reconnects, and nothing grows."""

import sys
from pathlib import Path

# The chaos proxy imports its neighbours from where the tests do.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
