"""The demonstration on a terminal: one row for each thing said, made of nothing but received messages."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.demo.scada import Received
from agent.demo.script import Line


def judge(line: Line, received: Sequence[Received]) -> bool:
    """Tell whether what the plant received is what the line should lead to, and nothing else."""
    commands = [message.payload["meaning"] for message in received if message.topic.startswith("command/")]
    kinds = {message.topic for message in received}
    if line.outcome == "command":
        return commands == [{"command": line.command, "slots": line.slots}]
    return not commands and f"event/{line.outcome}" in kinds


def row(line: Line, received: Sequence[Received], good: bool) -> Table:
    """Show one line of the script and what came of it, side by side."""
    table = Table.grid(padding=(0, 2))
    for width in (28, 36, 26, 46):
        table.add_column(width=width)
    said = Text(f"“{line.said}”").append(f"\n{line.where}", style="dim")
    mark = Text("✓ ", style="green") if good else Text("✗ ", style="bold red")
    table.add_row(said, _heard(received), mark + _decided(received), _messages(received))
    return table


def received_row(received: Sequence[Received]) -> Table:
    """Show what came of something that no script knows."""
    table = Table.grid(padding=(0, 2))
    for width in (36, 26, 46):
        table.add_column(width=width)
    table.add_row(_heard(received), _decided(received), _messages(received))
    return table


def header() -> Table:
    """Name the columns of `row`."""
    table = Table.grid(padding=(0, 2))
    for title, width in (("SAID", 28), ("HEARD", 36), ("DECIDED", 26), ("SCADA RECEIVED", 46)):
        table.add_column(Text(title, style="bold"), width=width)
    table.add_row(*(Text(title, style="bold") for title in ("SAID", "HEARD", "DECIDED", "SCADA RECEIVED")))
    return table


def _heard(received: Sequence[Received]) -> Text:
    event = next((m.payload for m in received if m.topic.startswith("event/") and "heard" in m.payload), None)
    if event is None:
        return Text("nothing", style="dim")
    heard: dict[str, Any] = event["heard"]
    text = Text(f"“{heard['text']}”" if heard["text"] else "no sentence")
    facts = [f"p {heard['probability']:.2f}"]
    if worst := heard.get("worst_word"):
        facts.append(f"worst “{worst['text']}” {worst['score']:.1f}")
    if heard.get("margin") is not None:
        facts.append(f"margin {heard['margin']:.0f}")
    if heard.get("snr_db") is not None:
        facts.append(f"SNR {heard['snr_db']:.0f} dB")
    return text.append("\n" + ", ".join(facts), style="dim")


def _decided(received: Sequence[Received]) -> Text:
    text = Text()
    for message in received:
        payload = message.payload
        if message.topic == "event/accept":
            return text.append("accept", style="green").append(
                f"\n{payload['meaning']['command']}", style="dim"
            )
        if message.topic == "event/question":
            return text.append("confirm?", style="yellow").append(f"\n{payload['text']}", style="dim")
        if message.topic == "event/reject":
            text.append("reject", style="magenta")
            return text.append(f"\n{payload['reason']} {payload['detail']}".rstrip(), style="dim")
    return text.append("nothing")


def _messages(received: Sequence[Received]) -> Text:
    lines = Text()
    for message in received:
        if message.topic.startswith("command/"):
            value = json.dumps(message.payload["value"], ensure_ascii=False)
            lines.append(f"{message.topic}", style="cyan").append(f" {value} qos {message.qos}")
            lines.append(f" expires {message.expiry_s} s\n" if message.expiry_s else "\n")
        elif message.topic == "event/delivery":
            latency_ms = 1000 * message.payload["latency_seconds"]
            lines.append(f"{message.topic} {message.payload['fate']} {latency_ms:.0f} ms\n", style="dim")
        elif message.topic.startswith("event/"):
            lines.append(f"{message.topic}\n", style="dim")
    lines.rstrip()
    return lines


def summary(console: Console, good: int, total: int, health: Received | None) -> None:
    """Close with what a shift leader would ask."""
    style = "bold green" if good == total else "bold red"
    console.print(Text(f"\n{good} of {total} as they should be", style=style))
    if health:
        engine, recognizer = health.payload["engine"], health.payload["recognizer"]
        console.print(
            f"engine {engine['name']} ({engine['reason']}), "
            f"{1000 * (engine['inference_p50_seconds'] or 0):.0f} ms a window; real-time factor "
            f"{recognizer['real_time_factor'] or 0:.3f}; memory "
            f"{health.payload['system']['process_resident_bytes'] / 2**20:.0f} MiB",
            style="dim",
        )


def write_picture(console: Console, path: Path) -> None:
    """Write all that a recording console has shown, as an SVG that fetches nothing from anywhere."""
    svg = console.export_svg(title="voxline demo")
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
