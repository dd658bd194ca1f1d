"""Embeddings, moderations and rankings as a fake upstream writes them.

Sources: https://platform.openai.com/docs/api-reference/embeddings/object, /moderations/object,
https://docs.cohere.com/reference/rerank
"""

from __future__ import annotations

import base64
import struct

from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire

_VECTOR = (0.25, -0.5, 0.125)
"""Every text's embedding; halves and quarters are the same in 32 bits."""


def _inputs(given: object) -> int:
    one = not isinstance(given, list) or isinstance(given[0], int)
    return 1 if one else len(given)  # type: ignore[arg-type]


class _Embeddings(Wire):
    def whole(self, answer: Answer, request: Body) -> Body:
        vector: object = list(_VECTOR)
        if request.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<3f", *_VECTOR)).decode()
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index in range(_inputs(request["input"]))
        ]
        body: Body = {"object": "list", "data": data, "model": request["model"]}
        if answer.reports is not Reports.NEVER:
            tokens = 0 if answer.reports is Reports.ZERO else answer.input_tokens * len(data)
            body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return body


class _Moderations(Wire):
    def whole(self, answer: Answer, request: Body) -> Body:
        result = {
            "flagged": False,
            "categories": {"hate": False, "violence": False},
            "category_scores": {"hate": 0.0001, "violence": 0.0002},
            "category_applied_input_types": {"hate": ["text"], "violence": ["text"]},
        }
        results = [result] * _inputs(request["input"])
        model = request.get("model", "omni-moderation-latest")
        return {"id": "modr-970d409ef3bef3b70c73d8232df86e7d", "model": model, "results": results}


class _Rerank(Wire):
    def whole(self, answer: Answer, request: Body) -> Body:
        """The passages as they came; Cohere's units at its own path's words, tokens for everybody else."""
        top = request.get("top_n") or len(request["documents"])
        results = [
            {"index": index, "relevance_score": 1.0 / (index + 1)}
            for index in range(min(top, len(request["documents"])))
        ]
        body: Body = {"id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf", "results": results}
        if answer.reports is Reports.AS_ASKED:
            body["meta"] = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
        elif answer.reports is Reports.ALWAYS:
            body["usage"] = {"total_tokens": answer.input_tokens}
        return body


EMBEDDINGS = _Embeddings()
MODERATIONS = _Moderations()
RERANK = _Rerank()
