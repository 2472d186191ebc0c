"""The result of a soak in words."""

from typing import Any


def summary(report: dict[str, Any]) -> str:
    """Write what a person wants to know first."""
    commands, records, resources = report["commands"], report["records"], report["resources"]
    gaps = report["gaps"].values()
    slope = resources["memory_slope_mib_per_hour"]
    memory = resources["resident_mib_by_minute"]
    lines = [
        f"{report['minutes']} minutes, seed {report['seed']}, {sum(report['faults_made'].values())} faults",
        f"commands: {commands['commands_spoken']} spoken, {commands['accepted']} accepted, "
        f"{commands['received_by_the_plant']} received; {commands['late']} late, "
        f"{commands['doubled']} doubled, {commands['during_lockout']} during lockout",
        f"gaps: {sum(gap['made'] for gap in gaps)} made, {sum(gap['reported'] for gap in gaps)} reported; "
        f"commands without a trace: {records['commands_without_a_trace']}",
        f"audit: {records['in_the_audit_log']} of {records['decisions']} decisions, "
        f"{records['audit_entries_reported_as_missing']} entries reported as missing, "
        f"chain {'whole' if records['audit_chain_whole'] else 'broken'}",
        f"memory: {memory[0]:.1f} MiB in the first minute, {memory[-1]:.1f} in the last"
        + (
            f"; {slope['per_hour']:+.2f} MiB/h ({slope['low']:+.2f} to {slope['high']:+.2f})" if slope else ""
        ),
        *(
            f"{name}: {resources[name]['first']:.0f} at first, {resources[name]['last']:.0f} at the end"
            for name in ("threads", "descriptors")
        ),
        f"restarts of the agent: {report['restarts_of_the_agent']}",
        *(f"FAILED: {failure}" for failure in report["failures"]),
        "" if report["failures"] else "passed\n",
    ]
    return "\n".join(lines)
