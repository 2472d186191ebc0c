from structlog.testing import capture_logs

from agent.messaging.session import LinkDownError
from agent.messaging.supervised import Supervised
from tests.integration.brokers import eventually


def test_an_outage_is_told_once_for_each_reason() -> None:
    """A broker that is off for a night would fill the journal."""
    reasons = ["refused"] * 3 + ["no route"] * 3 + ["stood"] * 2
    tries: list[str] = []

    def serve() -> None:
        tries.append(reasons[min(len(tries), len(reasons) - 1)])
        if tries[-1] == "stood":
            supervised.stand()
        raise LinkDownError(tries[-1], by_broker=False)

    losses: list[str] = []
    supervised = Supervised("link", 0.01, serve, losses.append)
    with capture_logs() as logs:
        supervised.start()
        assert eventually(lambda: len(losses) >= len(reasons))
        supervised.stop()
    told = [log["reason"] for log in logs if log["event"] == "link_down"]
    assert told == ["refused", "no route", *losses[6:]]
