"""What must be settled before any library is loaded."""

import os

# PyTorch's threads wait for each other by spinning: ten times as long where the machine has other work, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
