"""Which board this is."""

from pathlib import Path

COMPATIBLE = Path("/proc/device-tree/compatible")
_NPU_OF = {"rk3562": "rk3562", "rk3566": "rk3568", "rk3568": "rk3568", "rk3576": "rk3576", "rk3588": "rk3588"}
"""RK3566 and RK3568 share one NPU, and so one `.rknn` file."""


def find_npu(compatible: Path = COMPATIBLE) -> str | None:
    """Return whose `.rknn` file this board runs, such as `rk3568`; None where there is no Rockchip NPU.

    Args:
        compatible: the device tree's list of names of the board, ended by zero bytes.
    """
    try:
        names = compatible.read_bytes().decode("ascii", "replace").split("\0")
    except OSError:
        return None
    socs = (
        name.removeprefix("rockchip,").removesuffix("s") for name in names if name.startswith("rockchip,")
    )
    return next((_NPU_OF[soc] for soc in socs if soc in _NPU_OF), None)
