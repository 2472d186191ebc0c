"""Read settings, and tell a person what is wrong with them: where, what, and what would be valid."""

import difflib
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from agent.errors import SettingsError, not_utf8

DELIMITER = "__"
"""Between section and field in names of variables and secret files."""


@dataclass(frozen=True)
class Origin:
    """Where settings come from."""

    file: Path
    text: str
    data: Mapping[str, Any]
    """`text`, parsed."""
    secrets: Path
    environment: Mapping[str, str]
    """By name in capitals: pydantic-settings takes `voxline_mqtt__port` for `VOXLINE_MQTT__PORT`."""
    prefix: str
    """Of the environment variables that are ours."""

    def place(self, keys: Sequence[str]) -> str:
        """Name what holds the setting `keys`: a variable, a secret file, or file and line."""
        name = DELIMITER.join(keys)
        for variable in self.environment:
            if _gives(variable, self.prefix + name.upper()):
                return f"environment variable {variable}"
        for depth in reversed(range(1, len(keys))):  # the deepest wins
            table = self.prefix + DELIMITER.join(keys[:depth]).upper()
            if f'"{keys[-1]}"' in self.environment.get(table, ""):  # as JSON
                return f"environment variable {table}"
        for secret in sorted(self.secrets.glob("*")):
            if _gives(secret.name.lower(), name):
                return str(secret)
        line = line_of(self.text, keys)
        return f"{self.file}:{line}" if line else str(self.file)


def _gives(found: str, name: str) -> bool:
    """Whether a variable or file sets a setting, or something below it, where there is nothing."""
    return found == name or found.startswith(name + DELIMITER)


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, and the text parsed.

    Raises:
        SettingsError: it cannot be read, or is something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a mark
        return text, tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; give another file with --config or VOXLINE_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        line, byte = not_utf8(error)
        raise SettingsError(f"{path}:{line}: {byte} is no UTF-8; save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from error


def describe(root: type[BaseModel], error: ValidationError, origin: Origin) -> list[str]:
    """Turn what pydantic found into one line for each fault."""
    return [_describe(root, fault, origin) for fault in error.errors(include_url=False)]


def unknown_names(root: type[BaseModel], origin: Origin) -> list[str]:
    """Find names that pydantic-settings would pass over, or take for its own options (`_env_file`)."""
    faults = [f"{origin.place([key])}: no setting [{key}]" for key in origin.data if key.startswith("_")]
    for variable in origin.environment:
        section, delimiter, _ = variable.removeprefix(origin.prefix).lower().partition(DELIMITER)
        if variable.startswith(origin.prefix) and delimiter and section not in root.model_fields:
            advice = _advice(section, root, root)
            faults.append(f"environment variable {variable}: no section '{section}'; {advice}")
    return faults


def unusable_secrets(root: type[BaseModel], origin: Origin) -> list[str]:
    """Find secret files that pydantic-settings would pass over.

    Raises:
        OSError: the folder is there but may not be read.
    """
    try:
        names = sorted(path.name for path in origin.secrets.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    folder, faults = origin.secrets.resolve(), []
    for name in names:
        path = origin.secrets / name
        if name.lower().partition(DELIMITER)[0] not in root.model_fields:
            faults.append(f"{path}: no setting '{name}'; {_secret_advice(name.lower(), root)}")
        elif not stat.S_ISREG(path.stat().st_mode) or folder not in path.resolve().parents:
            faults.append(
                f"{path}: must be a file in this folder, not a folder or a link that leads elsewhere"
            )
    return faults


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """Find the line, from 1, of a key in a TOML text, or else of the innermost table around it."""
    table: list[str] = []
    best, best_depth = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?([^\[\]]+)\]", line):
            path = table = _split(header[1])
        elif entry := re.match(r"\s*([\w\"'. -]+?)\s*=", line):
            path = table + _split(entry[1])
        else:
            continue
        if len(path) > best_depth and path == list(keys[: len(path)]):
            best, best_depth = number, len(path)
    return best


def _split(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _describe(root: type[BaseModel], fault: ErrorDetails, origin: Origin) -> str:
    keys, parent = _walk(root, fault["loc"])
    place = origin.place(keys)
    name = name_of(keys)
    match fault["type"]:
        case "extra_forbidden":
            return f"{place}: no setting {name}{_tag_note(parent)}; {_advice(keys[-1], parent, root)}"
        case "missing":
            return f"{place}: {name} is missing"
        case "union_tag_not_found":
            return f"{place}: {name} type is missing"
        case "union_tag_invalid":
            tag, expected = fault["ctx"]["tag"], fault["ctx"]["expected_tags"]
            return f"{place}: {name} type must be one of {expected}, not {tag!r:.80}"
        case "model_type" | "model_attributes_type":
            table = f"[{'.'.join(keys)}]"
            return f"{place}: {table} is a table: write its settings below a line {table}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("String should match pattern", "a text that matches")
    if fault["type"] == "value_error":
        return f"{place}: {name}: {message}"
    given = "" if _is_secret(keys, parent) else f", not {fault['input']!r:.80}"
    return f"{place}: {name} must be {message}{given}"


def _walk(root: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str], type[BaseModel]]:
    """Split a pydantic location into keys of the file (without union tags) and the model around the last."""
    keys: list[str] = []
    parent = root
    candidates = [root]
    for part in map(str, location):
        tagged = [model for model in candidates if _tag(model) == part]
        if len(candidates) > 1 and tagged:
            candidates = tagged
            continue
        keys.append(part)
        parent = candidates[0] if candidates else parent
        field = parent.model_fields.get(part)
        candidates = list(_models(field.annotation)) if field else []
    return keys, parent


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return get_args(field.annotation)[0] if field else None


def _tag_note(model: type[BaseModel]) -> str:
    tag = _tag(model)
    return f" where type is '{tag}'" if tag else ""


def _is_secret(keys: Sequence[str], parent: type[BaseModel]) -> bool:
    field = parent.model_fields.get(keys[-1]) if keys else None
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def name_of(keys: Sequence[str]) -> str:
    """Write a setting as people do: `[mqtt.tls] ca`; a section alone as `[audio]`."""
    if len(keys) < 2:
        return f"[{'.'.join(keys)}]"
    return f"[{'.'.join(keys[:-1])}] {keys[-1]}"


def _secret_advice(name: str, root: type[BaseModel]) -> str:
    names = [
        f"{section}{DELIMITER}{key}"
        for section, field in root.model_fields.items()
        for model in _models(field.annotation)
        for key in model.model_fields
    ]
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else "write section and setting, as in 'mqtt__password'"


def _advice(key: str, parent: type[BaseModel], root: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key.lower(), parent.model_fields, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    for section, field in root.model_fields.items():
        models = list(_models(field.annotation))
        if parent not in models and any(key in model.model_fields for model in models):
            return f"it belongs in [{section}]"
    return f"valid here: {', '.join(parent.model_fields)}"
