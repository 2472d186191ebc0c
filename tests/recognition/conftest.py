"""The shipped model with the demo grammar, for what only a real model shows."""

from pathlib import Path

import pytest

from agent.acoustics.bundle import Bundle, load_bundle
from agent.acoustics.engines.onnx import OnnxEngine
from agent.evaluation.listening import Ear
from agent.grammar import compile_grammar, load_grammar

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def bundle() -> Bundle:
    return load_bundle(REPOSITORY / "models/bundles/voxline-en-zh")


@pytest.fixture(scope="package")
def ear(bundle: Bundle) -> Ear:
    graph = compile_grammar(load_grammar(REPOSITORY / "grammars/demo.yaml"), bundle.manifest.tokens)
    return Ear(bundle, OnnxEngine(bundle), graph, bundle.manifest.operating_points.normal)
