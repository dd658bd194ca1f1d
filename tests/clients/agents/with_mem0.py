"""mem0: its memory keeps what a conversation says, found by a model that answers with any JSON object."""

from __future__ import annotations

import json
import os
from pathlib import Path

from jobs import KEY, MODELS, URL, run

HOME = Path.home()
os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(HOME / "mem0")}

from mem0 import Memory  # noqa: E402 it reads the environment as it is imported

DIMENSIONS = 3
"""Of the fakes' embeddings."""
FACT = "Rome has 21 degrees"
FOUND = json.dumps({"facts": [FACT], "memory": [{"id": "0", "text": FACT, "event": "ADD"}]})


def jobs(model):
    """The one job that mem0 does with a model."""

    def form():
        # setup
        config = {
            "llm": {
                "provider": "openai",
                "config": {
                    "model": model,
                    "openai_base_url": URL,
                    "api_key": KEY,
                },
            },
            "embedder": {
                "provider": "openai",
                "config": {
                    "model": "text-embedding-3-small",
                    "openai_base_url": URL,
                    "api_key": KEY,
                },
            },
        }
        # end
        config["embedder"]["config"]["embedding_dims"] = DIMENSIONS
        store = {"path": str(HOME / "mem0" / model), "embedding_model_dims": DIMENSIONS}
        config["vector_store"] = {"provider": "qdrant", "config": store}
        config["history_db_path"] = str(HOME / "mem0" / "history.db")
        memory = Memory.from_config(config)
        memory.delete_all(user_id="ann")
        memory.add(f"Remember this. SAY {json.dumps(FOUND)}", user_id="ann")
        kept = [found["memory"] for found in memory.get_all(filters={"user_id": "ann"})["results"]]
        place, _, rest = kept[0].partition(" has ")
        return {"place": place, "degrees": int(rest.split()[0])}

    run("chat", model, json=form)


for name in MODELS:
    jobs(name)
