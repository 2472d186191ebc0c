"""One conversion by the vendor's toolkit, run by the Python of the converter's environment.

Reads a JSON object on standard input: `onnx` (path), `config` and `build` (arguments of the toolkit's
functions of that name), `out` (path of the `.rknn` file). The toolkit tells its layer table on standard
output, and litters the working directory.
"""

import json
import sys

from rknn.api import RKNN


def main() -> int:
    """Convert; the status is 1 if the toolkit refuses."""
    job = json.load(sys.stdin)
    rknn = RKNN(verbose=True)
    refused = (
        rknn.config(**job["config"]) != 0
        or rknn.load_onnx(model=job["onnx"]) != 0
        or rknn.build(**job["build"]) != 0
        or rknn.export_rknn(job["out"]) != 0
    )
    return int(refused)


if __name__ == "__main__":
    sys.exit(main())
