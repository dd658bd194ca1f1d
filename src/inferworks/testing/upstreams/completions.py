"""OpenAI's completions, the older kind, as a fake upstream writes them.

Source: https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

from collections.abc import Iterator

from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, usage_of, words_of


def _copies(request: Body) -> int:
    prompt = request["prompt"]
    prompts = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
    return len(prompts) * (request.get("n") or 1)


def _choice(index: int, text: str, reason: str | None) -> Body:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


def _envelope(request: Body, choices: list[Body]) -> Body:
    return {
        "id": "cmpl-123", "object": "text_completion", "created": 1589478378,
        "model": request["model"], "choices": choices,
    }  # fmt: skip


class _Completions(Wire):
    def whole(self, answer: Answer, request: Body) -> Body:
        words, reason = words_of(answer, request.get("max_tokens"))
        choices = [_choice(index, "".join(words), reason) for index in range(_copies(request))]
        body = _envelope(request, choices)
        if answer.reports is not Reports.NEVER:
            body["usage"] = usage_of(answer, len(words) * _copies(request))
        return body

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        words, reason = words_of(answer, request.get("max_tokens"))
        options = request.get("stream_options") or {}
        told = bool(options.get("include_usage")) and answer.reports is not Reports.NEVER
        running = told and bool(options.get("continuous_usage_stats"))
        count = 0
        for index in range(_copies(request)):
            for number, word in enumerate(words, 1):
                count += 1
                event = _envelope(
                    request, [_choice(index, word, reason if number == len(words) else None)]
                )
                yield {**event, "usage": usage_of(answer, count)} if running else event
        if told:
            yield {**_envelope(request, []), "usage": usage_of(answer, count)}


COMPLETIONS = _Completions()
