"""Figures of a bundle that a measurement keeps in a file: what is in it is not measured again."""

import hashlib
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from agent.acoustics.bundle import Bundle
from agent.durable import write_file


class OfBundle(Protocol):
    """A Pydantic dataclass of figures."""

    digest: str
    """Of what the figures hang on, see `hears_as`."""


F = TypeVar("F", bound=OfBundle)


def hears_as(bundle: Bundle, judged: BaseModel) -> str:
    """Return what makes two bundles alike to a measurement: their model, and how it is judged."""
    model = bundle.manifest.files["model.onnx"].sha256
    return hashlib.sha256((model + judged.model_dump_json()).encode()).hexdigest()


def read(path: Path, new: F) -> F:
    """Read figures, or begin with new ones.

    Raises:
        ValueError: there are figures, but of another bundle, or kept in another way.
    """
    if not path.exists():
        return new
    try:
        figures = TypeAdapter(type(new)).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {place}: {first['msg']}: name another file") from error
    if figures.digest != new.digest:
        raise ValueError(f"{path}: its bundle is {figures.digest}, not {new.digest}: name another file")
    return figures


def write(figures: OfBundle, path: Path) -> None:
    """Write figures, whole or not at all."""
    write_file(path, TypeAdapter(type(figures)).dump_json(figures, indent=1) + b"\n")
