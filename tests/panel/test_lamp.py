"""Rhythms on a lamp below a copy of /sys/class/leds."""

from pathlib import Path

import pytest

from agent.audio.tones import Tone
from agent.panel.lamp import RHYTHMS, STEP_S, Lamp, SysLed
from agent.settings import GpioLine, Led


@pytest.fixture
def led(tmp_path: Path) -> Path:
    folder = tmp_path / "status"
    folder.mkdir()
    (folder / "max_brightness").write_text("255\n")
    (folder / "trigger").write_text("none [heartbeat] timer\n")
    (folder / "brightness").write_text("0\n")
    return folder


def lamp_of(led: Path) -> Lamp:
    return Lamp(lambda: SysLed(Led(type="led", name=led.name), led.parent))


def shown(lamp: Lamp, led: Path, start_s: float, steps: int) -> str:
    seen = ""
    for step in range(steps):
        lamp.tick(start_s + step * STEP_S)
        seen += "#" if (led / "brightness").read_text() == "255" else "."
    return seen


def test_every_outcome_has_a_rhythm_of_its_own() -> None:
    assert set(RHYTHMS) == set(Tone)
    assert len(set(RHYTHMS.values())) == len(RHYTHMS)
    assert all(set(rhythm) <= set("#.") and rhythm[0] == "#" for rhythm in RHYTHMS.values())


@pytest.mark.parametrize("tone", Tone)
def test_a_rhythm_is_shown_once(led: Path, tone: Tone) -> None:
    lamp = lamp_of(led)
    lamp.show(tone, 100.0)
    rhythm = RHYTHMS[tone]
    assert shown(lamp, led, 100.0, len(rhythm) + 20) == rhythm + 20 * "."


def test_it_is_lit_while_armed_and_a_new_outcome_ends_the_old_one(led: Path) -> None:
    lamp = lamp_of(led)
    lamp.arm(armed=True)
    lamp.show(Tone.FAILED, 100.0)
    assert shown(lamp, led, 100.0, 4) == "#.#."
    lamp.show(Tone.REJECTED, 100.4)
    assert shown(lamp, led, 100.4, 10) == "#.#.######"
    lamp.arm(armed=False)
    assert shown(lamp, led, 101.4, 1) == "."


def test_it_blinks_as_long_as_a_question_stands(led: Path) -> None:
    lamp = lamp_of(led)
    lamp.arm(armed=True)
    lamp.ask(asking=True)
    lamp.show(Tone.CONFIRM, 100.0)
    assert shown(lamp, led, 100.0, 600) == 100 * "###...", "a minute, the longest window there is"
    lamp.show(Tone.DONE, 160.0)
    rest = shown(lamp, led, 160.0, 40).removeprefix(RHYTHMS[Tone.DONE])
    assert "###..." in rest, "what an earlier command did ends no question"
    lamp.ask(asking=False)
    lamp.show(Tone.HEARD, 170.0)
    assert shown(lamp, led, 170.0, 20) == 20 * "#", "armed"


def test_the_kernels_own_use_of_it_ends_and_it_is_put_out_at_the_end(led: Path) -> None:
    lamp = lamp_of(led)
    lamp.arm(armed=True)
    lamp.tick(0.0)
    assert (led / "trigger").read_text() == "none"
    lamp.close()
    assert (led / "brightness").read_text() == "0"


def test_a_lamp_that_is_not_there_is_named_and_tried_again(led: Path) -> None:
    hidden = led.rename(led.with_name("hidden"))
    lamp = lamp_of(led)
    lamp.tick(0.0)
    assert str(led) in lamp.failure
    hidden.rename(led)
    lamp.arm(armed=True)
    lamp.tick(1.0)
    assert lamp.failure
    lamp.tick(10.0)
    assert lamp.failure == ""
    assert (led / "brightness").read_text() == "255"
    lamp.close()


def test_a_lamp_on_a_line_is_put_out_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real line: a simulated chip goes dark by itself when it is given back, and real ones do not."""
    gpiod = pytest.importorskip("gpiod", reason="gpiod is not installed: pip install 'voxline[gpio]'")
    from agent.panel.gpio import GpioLight

    done: list[str] = []

    class Line:
        def set_value(self, _line: int, value: object) -> None:
            done.append(str(value))

        def release(self) -> None:
            done.append("given back")

    monkeypatch.setattr(gpiod, "request_lines", lambda *_, **__: Line())
    lamp = Lamp(lambda: GpioLight(GpioLine(type="gpio", line=1)))
    lamp.arm(armed=True)
    lamp.tick(0.0)
    lamp.close()
    assert done == ["Value.ACTIVE", "Value.INACTIVE", "given back"]
