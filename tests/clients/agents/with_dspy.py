"""dspy: a program of one step, and an agent; answers come in fields, or as JSON."""

from __future__ import annotations

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy
from jobs import ASK_FOR_ANY, KEY, MODELS, SAY, URL, run


class Form(dspy.Signature):
    """Tell the weather."""

    question: str = dspy.InputField()
    place: str = dspy.OutputField()
    degrees: int = dspy.OutputField()


def jobs(name):
    """All jobs with one model."""
    # setup
    model = dspy.LM(f"openai/{name}", api_base=URL, api_key=KEY)
    # end
    model.cache, model.num_retries = False, 0

    def chat():
        return model(SAY)[0]

    async def stream():
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            fields = (
                f"[[ ## answer ## ]]\n{json.loads(SAY.split('SAY ')[1])}\n\n[[ ## completed ## ]]"
            )
            listener = dspy.streaming.StreamListener(signature_field_name="answer")
            told = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
            question = f"Greet me. SAY {json.dumps(fields)}"
            pieces = [piece async for piece in told(question=question)]
        return [piece.chunk for piece in pieces if hasattr(piece, "chunk")]

    def form():
        with dspy.context(lm=model, adapter=dspy.JSONAdapter()):
            return dict(dspy.Predict(Form)(question=ASK_FOR_ANY).items())

    run("chat", name, chat=chat, stream=stream, json=form)


for name in MODELS:
    jobs(name)
