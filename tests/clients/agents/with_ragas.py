"""ragas: the judge of its metrics, which answers in forms that a metric gives it."""

from __future__ import annotations

import os

os.environ["RAGAS_DO_NOT_TRACK"] = "true"

from jobs import ASK_FOR_ANY, KEY, MODELS, URL, run
from openai import OpenAI
from pydantic import BaseModel
from ragas.llms import llm_factory


class Form(BaseModel):
    """The form of the answer."""

    place: str
    degrees: int


def jobs(model):
    """Jobs that Ragas does with one model."""

    def form():
        # setup
        client = OpenAI(base_url=URL, api_key=KEY)
        judge = llm_factory(model, client=client)
        # end
        return judge.generate(ASK_FOR_ANY, Form)

    run("chat", model, json=form)


for name in MODELS:
    jobs(name)
