"""The release side: thresholds, offline keys, delegations, and key rotation while a station watches."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from typer.testing import CliRunner

from agent.errors import GrammarError, UpdateError
from agent.updates import signed
from agent.updates.keys import make_key, public_key
from agent.updates.pack import pack_grammar
from agent.updates.probation import Terms
from agent.updates.release import Channel, Reference
from agent.updates.release_cli import app
from agent.updates.repository import ReleaseRepository
from agent.updates.state import Phase
from agent.updates.transports.folder import Folder
from agent.updates.updater import Updater
from tests.integration.booth import BUNDLE
from tests.integration.brokers import eventually
from tests.updates.house import Obedient, make_repository, make_trust, make_updater, release, wish

PRESS = "name: press\nlanguage: en\ncommands:\n  stop: {sentences: [stop belt], topic: stop, payload: 1}\n"


def keys(folder: Path, *names: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [make_key(folder / f"{name}.pem") for name in names]


def test_two_of_three_must_sign(tmp_path: Path) -> None:
    away = tmp_path / "away"
    anna, ben, eve, online = keys(tmp_path / "keys", "anna", "ben", "eve", "online")
    roles = {"root": [anna, ben], "targets": [anna, ben, eve], "snapshot": [online], "timestamp": [online]}
    repository = ReleaseRepository.create(tmp_path / "repository", roles, {"root": 2, "targets": 2})
    repository.publish()
    (tmp_path / "keys").rename(away)  # the keys are offline now
    repository.learn(f"file2:{away}/online.pem")
    release(repository, "model/press/1.0.0")
    with pytest.raises(UpdateError, match="targets: 2 signatures missing"):
        repository.publish()
    assert repository.sign("targets", f"file2:{away}/anna.pem") == 1
    stranger = keys(tmp_path / "more", "stranger")[0]
    with pytest.raises(UpdateError, match="is no key of targets"):
        repository.sign("targets", stranger)
    assert repository.sign("targets", f"file2:{away}/eve.pem") == 0
    repository.publish()
    assert make_trust(tmp_path / "trust", repository, Folder(repository.public)).read(
        "model/press/1.0.0.json"
    )


@pytest.mark.parametrize("role", ["root", "targets", "lyon"])
def test_who_renews_a_role_asks_for_no_fewer_signatures(
    tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed, "VALID_DAYS", dict.fromkeys(signed.VALID_DAYS, 1))
    anna, ben, online = keys(tmp_path / "keys", "anna", "ben", "online")
    roles = {"root": [anna, ben], "targets": [anna, ben], "snapshot": [online], "timestamp": [online]}
    repository = ReleaseRepository.create(tmp_path / "repository", roles, {"root": 2, "targets": 2})
    repository.delegate("lyon", ["grammar/lyon-*/*"], [anna, ben], 2)
    repository.publish()
    assert role in repository.expiring(timedelta(days=2))
    monkeypatch.undo()

    def renew(*uris: str) -> None:
        if role == "lyon":
            repository.delegate(role, ["grammar/lyon-*/*"], uris)
        else:
            repository.rotate(role, uris)

    with pytest.raises(UpdateError, match="needs 2 keys"):
        renew(anna)
    renew(anna, ben)
    repository.publish()
    assert role not in repository.expiring(timedelta(days=2))
    asked = repository.delegation("lyon") if role == "lyon" else repository.root().roles[role]
    assert asked.threshold == 2


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_keys_are_rotated_while_a_station_watches(tmp_path: Path, role: str) -> None:
    repository = make_repository(tmp_path / "repository")
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    trust.refresh()
    old = public_key(f"file2:{tmp_path}/repository-keys/{role}.pem").keyid
    repository.rotate(role, keys(tmp_path / "new", role))
    repository.publish()
    release(repository, "model/press/1.0.0")
    repository.publish()
    assert old not in repository.root().roles[role].keyids
    assert trust.read("model/press/1.0.0.json") is None  # as of the last refresh
    trust.refresh()
    assert trust.read("model/press/1.0.0.json")
    late = make_trust(tmp_path / "late", repository, Folder(repository.public))  # shipped with the first root
    assert late.read("model/press/1.0.0.json")


def test_a_plant_answers_for_its_own_grammars_and_no_others(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    repository.delegate("lyon", ["grammar/lyon-*/*"], keys(tmp_path / "lyon", "lyon"))
    repository.publish()
    release(repository, "grammar/lyon-press/1.0.0", role="lyon")
    with pytest.raises(UpdateError, match="may not answer for"):
        release(repository, "grammar/turin-press/1.0.0", role="lyon")
    repository.publish()
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    assert trust.read("grammar/lyon-press/1.0.0.json")


def test_what_was_withdrawn_is_gone(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    named = release(repository, "model/press/1.0.0")
    repository.publish()
    repository.withdraw(named.target)
    repository.publish()
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    assert trust.read(named.target) is None
    with pytest.raises(UpdateError, match="has no"):
        repository.withdraw(named.target)


def test_the_way_back_is_a_newer_release_of_the_older_files(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    for number in (1, 2):
        release(repository, f"model/press/{number}.0.0", {"model.onnx": bytes([number]) * 9})
    repository.publish()
    station, way = Obedient(), Counting(repository.public)
    updater = make_updater(tmp_path / "station", repository, station, way, terms=Terms(0, 0))
    updater.start()
    for version in ("1.0.0", "2.0.0"):
        updater.wish(wish(f"model/press/{version}"))
        assert eventually(partial(runs, updater, version))
    updater.wish(wish("model/press/1.0.0"))  # by replay never
    assert eventually(lambda: updater.state.phase is Phase.REFUSED)
    with pytest.raises(UpdateError, match="is not above"):
        repository.reissue(Reference.parse("model/press/1.0.0"), "1.5.0")
    repository.reissue(Reference.parse("model/press/1.0.0"), "2.0.1")
    repository.publish()
    way.objects.clear()
    updater.wish(wish("model/press/2.0.1"))
    assert eventually(lambda: runs(updater, "2.0.1"))
    updater.stop()
    assert way.objects == []
    assert updater.parts.model
    assert (updater.parts.model / "model.onnx").read_bytes() == b"\x01" * 9


class Counting(Folder):
    """Notes which objects are fetched."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.objects: list[str] = []

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        if path.startswith("objects/"):
            self.objects.append(path)
        return super().read(path, offset)


def runs(updater: Updater, version: str) -> bool:
    running = [reference.version for reference in updater.state.running]
    return updater.state.phase is Phase.COMMITTED and running == [version]


def test_a_channel(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0")
    repository.set_channel("stable", Channel(releases=("model/press/1.0.0",)))
    repository.publish()
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    raw = trust.read(Channel.target("stable"))
    assert raw
    assert Channel.model_validate_json(raw).references[0].version == "1.0.0"


def test_what_expires_is_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    assert repository.expiring(timedelta(days=20)) == {}
    assert set(repository.expiring(timedelta(days=40))) == {"snapshot", "timestamp"}
    assert set(repository.expiring(timedelta(days=1000))) == {"root", "targets", "snapshot", "timestamp"}


def test_a_key_that_never_leaves_its_device_needs_its_public_half(tmp_path: Path) -> None:
    uri = keys(tmp_path / "keys", "hsm")[0]
    private = load_pem_private_key(Path(uri.removeprefix("file2:")).read_bytes(), None)
    public = tmp_path / "public.pem"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert public_key(f"hsm:2?label=release,{public}").keyid == public_key(uri).keyid
    with pytest.raises(UpdateError, match="give its public key"):
        public_key("hsm:2?label=release")
    with pytest.raises(UpdateError, match="no key was written"):
        make_key(Path(uri.removeprefix("file2:")))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("add {repository} {grammar}", "such as --version 1.2.0"),
        ("add {repository} {grammar} --version one", "such as --version 1.2.0"),
        ("channel {repository} ../../x grammar/press/1.0.0", "a channel's name"),
        ("channel {repository} stable grammar/press/7.0.0", "no grammar/press/7.0.0"),
        ("channel {repository} stable grammar/press/1.0.0 grammar/press/1.0.0", "one release of each kind"),
        ("withdraw {repository} grammar/press/7.0.0", "targets has no grammar/press/7.0.0"),
        ("withdraw {repository} press", "names no release"),
        ("reissue {repository} grammar/press/7.0.0 8.0.0", "targets has no"),
        ("reissue {repository} grammar/press/1.0.0 0.9.0", "not above"),
        ("delegate {repository} targets grammar/* --keys {key}", "no name for a role"),
        ("delegate {repository} ../x grammar/* --keys {key}", "no name for a role"),
        ("add {repository} {grammar} --version 2.0.0 --min-agent 1", "min_agent_version"),
        ("add {repository} {grammar} --version 2.0.0 --max-latency-ms 9 --max-memory-mb 9", "for a bundle"),
        ("add {repository} {bundle} --version 2.0.0", "the version in its manifest.json"),
        ("add {repository} {bundle} --min-agent 1", "min_agent_version"),
        (
            "channel {repository} stable model/a/1.0.0 model/b/1.0.0 grammar/press/1.0.0",
            "one release of each",
        ),
        ("delegate {repository} lyon grammar/* --keys {key} --keys {key} --threshold 2", "needs 2 keys"),
        ("rotate {repository} targets --keys {key} --threshold 2", "targets: needs 2 keys"),
        ("rotate {repository} online --keys {key}", "snapshot and timestamp, which the online key signs"),
        ("rotate {repository} root --keys root.pem", "a PEM file is named file2:root.pem"),
        ("rotate {repository} root --keys file2:/nowhere.pem", "no usable key"),
        ("sign {repository} nobody", "nothing is staged"),
        ("publish {grammar}", "make one with"),
        ("init {repository} --root {key} --targets {key} --online {key}", "not empty"),
    ],
)
def test_mistakes_are_named_and_change_nothing(tmp_path: Path, words: str, says: str) -> None:
    repository = make_repository(tmp_path / "repository")
    grammar = tmp_path / "press.yaml"
    grammar.write_text(PRESS)
    repository.add(*pack_grammar(grammar, "1.0.0"))
    repository.publish()
    before = {path: path.read_bytes() for path in repository.public.parent.rglob("*") if path.is_file()}
    key = make_key(tmp_path / "k.pem")
    given = {"repository": repository.public.parent, "grammar": grammar, "bundle": BUNDLE, "key": key}
    result = CliRunner().invoke(app, [word.format(**given) for word in words.split()])
    assert isinstance(result.exception, UpdateError), (result.output, result.exception)
    assert says in str(result.exception)
    after = {path: path.read_bytes() for path in repository.public.parent.rglob("*") if path.is_file()}
    after.pop(repository.public.parent / "keyring.json")  # a key may have been learned
    assert after.items() <= before.items()


@pytest.mark.parametrize(
    ("sentence", "code"), [("go {lin}", "undefined_list"), ("emergency stop", "safety_claim")]
)
def test_a_grammar_with_an_error_is_not_released(tmp_path: Path, sentence: str, code: str) -> None:
    repository = make_repository(tmp_path / "repository")
    grammar = tmp_path / "press.yaml"
    grammar.write_text(PRESS.replace("stop belt", f"'{sentence}'"))
    folder = str(repository.public.parent)
    result = CliRunner().invoke(app, ["add", folder, str(grammar), "--version", "1.0.0"])
    assert isinstance(result.exception, GrammarError)
    assert f"{grammar}:4:" in str(result.exception)
    assert f"error [{code}]" in str(result.exception)
    assert not repository.contents()


@pytest.mark.parametrize("mistake", [["--root", "file2:/nowhere.pem"], ["--targets-threshold", "2"]])
def test_a_mistake_is_not_in_the_way_of_another_try(tmp_path: Path, mistake: list[str]) -> None:
    (key,) = keys(tmp_path / "keys", "all")
    words = ["init", str(tmp_path / "repository"), "--root", key, "--targets", key, "--online", key]
    assert isinstance(CliRunner().invoke(app, [*words, *mistake]).exception, UpdateError)
    assert CliRunner().invoke(app, words).exit_code == 0


def test_a_version_is_released_once(tmp_path: Path) -> None:
    """Stations that have it would never notice that it has become another one."""
    repository = make_repository(tmp_path / "repository")
    release(repository, "model/press/1.0.0", {"model.onnx": b"one"})
    release(repository, "model/press/1.0.0", {"model.onnx": b"one"})
    with pytest.raises(UpdateError, match="another release already"):
        release(repository, "model/press/1.0.0", {"model.onnx": b"two"})


def test_commands_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    grammar = tmp_path / "press.yaml"
    grammar.write_text(PRESS)
    words = [sys.executable, "-c", "from agent.cli import main; main()", "release", "add"]
    words += [str(repository.public.parent), str(grammar), "--version"]
    adding = [subprocess.Popen([*words, f"{number}.0.0"]) for number in (1, 2, 3)]
    assert [child.wait() for child in adding] == [0, 0, 0]
    assert sorted(repository.contents()) == [f"grammar/press/{number}.0.0.json" for number in (1, 2, 3)]


def test_a_release_whose_document_cannot_be_written_is_not_staged(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    (repository.public / "targets").write_text("in the way")
    with pytest.raises(OSError, match="targets"):
        release(repository, "model/press/1.0.0")
    assert not repository.contents()


def test_a_full_disk_leaves_the_keyring_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = make_repository(tmp_path / "repository")
    keyring = repository.public.parent / "keyring.json"
    before = keyring.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        repository.learn(keys(tmp_path / "more", "stranger")[0])
    assert keyring.read_bytes() == before


SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.mark.skipif(
    not SOFTHSM.exists() or not shutil.which("pkcs11-tool"), reason="needs softhsm2 and opensc"
)
def test_targets_are_signed_by_a_security_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pkcs11")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    monkeypatch.setenv("PYKCS11LIB", str(SOFTHSM))
    monkeypatch.setenv("VOXLINE_SIGNING_PIN", "1234")
    tool = ["pkcs11-tool", "--module", str(SOFTHSM), "--token-label", "release", "--pin", "1234"]
    for words in (
        [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "release",
            "--pin",
            "1234",
            "--so-pin",
            "5678",
        ],
        [*tool, "--login", "--keypairgen", "--key-type", "EC:prime256v1", "--id", "02", "--label", "targets"],
        [*tool, "--read-object", "--type", "pubkey", "--id", "02", "-o", str(tmp_path / "public.der")],
    ):
        subprocess.run(words, check=True, capture_output=True)
    public = tmp_path / "public.pem"
    key = load_der_public_key((tmp_path / "public.der").read_bytes())
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    root, online = keys(tmp_path / "keys", "root", "online")
    uri = f"hsm:2?label=release,{public}"
    roles = {"root": [root], "targets": [uri], "snapshot": [online], "timestamp": [online]}
    repository = ReleaseRepository.create(tmp_path / "repository", roles, {})
    release(repository, "model/press/1.0.0")
    assert repository.staged()["targets"] == 1  # nobody was asked for a PIN yet
    monkeypatch.setenv("VOXLINE_SIGNING_PIN", "wrong")
    with pytest.raises(UpdateError, match="cannot be used for signing here"):
        repository.sign("targets", uri)
    monkeypatch.setenv("VOXLINE_SIGNING_PIN", "1234")
    assert repository.sign("targets") == 0
    repository.publish()
    trust = make_trust(tmp_path / "trust", repository, Folder(repository.public))
    assert trust.read("model/press/1.0.0.json")


def test_from_nothing_to_a_published_grammar_by_hand(tmp_path: Path) -> None:
    def voxline(*words: str) -> str:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.output

    repository, grammar = str(tmp_path / "repository"), tmp_path / "press.yaml"
    grammar.write_text(PRESS)
    uris = [voxline("key", str(tmp_path / f"{name}.pem")).strip() for name in ("root", "targets", "online")]
    voxline("init", repository, "--root", uris[0], "--targets", uris[1], "--online", uris[2])
    voxline("publish", repository)
    assert "grammar/press/1.0.0 staged" in voxline("add", repository, str(grammar), "--version", "1.0.0")
    voxline("channel", repository, "stable", "grammar/press/1.0.0")
    assert "signed by enough" in voxline("sign", repository, "targets")
    assert "targets is staged, signed by enough" in voxline("show", repository)
    voxline("publish", repository)
    shown = json.loads(voxline("show", repository, "--json"))
    there = {"channel/stable.json": "targets", "grammar/press/1.0.0.json": "targets"}
    assert shown == {"contents": there, "staged": {}}
    assert "nothing expires" in voxline("expire-soon", repository)
    soon = CliRunner().invoke(app, ["expire-soon", repository, "--days", "60", "--json"])
    assert (soon.exit_code, set(json.loads(soon.output))) == (1, {"snapshot", "timestamp"})
    made = ReleaseRepository(tmp_path / "repository")
    assert make_trust(tmp_path / "trust", made, Folder(made.public)).read("grammar/press/1.0.0.json")
