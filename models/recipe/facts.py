"""What the default bundle says about itself, apart from numbers that are measured or exported."""

from typing import Any

_UNCALIBRATED = {
    "blank_penalty": 5.0,
    "loop_penalty": 4.0,
    "entry_penalty": 0.0,
    "min_margin": 1.0,
    "min_probability": 0.5,
    "weights": {"bias": 4.0, "worst_word": 1.0},
}

ENGLISH_MANDARIN: dict[str, Any] = {
    "name": "voxline-en-zh",
    "version": "0.1.0",
    "operating_points": dict.fromkeys(("low", "normal", "high"), _UNCALIBRATED),
    "training": {
        "summary": "Moonshine tiny's encoder with a phone-CTC head, fine-tuned end to end as a 3 s window "
        "that slides over endless streams, in noise of -5 to 30 dB, rooms, microphones, clipping and gain.",
        "hours": 35.0,
        "data": [
            "CMU AN4, 0.7 h, 74 speakers, free for any purpose (Carnegie Mellon University)",
            "LJ Speech, 1.0 h, one reader, public domain",
            "LibriSpeech, 0.9 h, about 250 speakers, text by a recognizer, CC BY 4.0",
            "Kokoro-82M synthetic speech, 32 h, English and Mandarin, mixed voices, Apache-2.0",
            "ESC-10 noise but sea waves, sneezes and helicopters, CC BY 3.0",
            "machine noise synthesized by the recipe, but hydraulics",
        ],
    },
    "rights": {
        "licence": "MIT AND Apache-2.0",
        "attribution": [
            "Weights grew from Moonshine tiny's encoder, (c) 2025 Moonshine AI, MIT (LICENSE.moonshine)",
            "LibriSpeech: Panayotov, Chen, Povey, Khudanpur, CC BY 4.0",
            "ESC-10: Karol J. Piczak and Freesound contributors, CC BY 3.0",
        ],
    },
}
