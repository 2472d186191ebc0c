from pathlib import Path

from agent.messaging import asyncapi

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"


def test_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == asyncapi.text(), "run: voxline contract asyncapi > docs/asyncapi.yaml"


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()

    def check(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target: object = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    assert isinstance(target, dict)
                    target = target[part]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)
