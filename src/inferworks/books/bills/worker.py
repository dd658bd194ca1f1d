"""A process that reads batches of a file for another (`workers`), until its input ends."""

from __future__ import annotations

import gc
import os
import pickle
from contextlib import suppress
from io import FileIO
from queue import SimpleQueue
from threading import Thread

from inferworks.books.bills.workers import Job, decoded, encoded_answer, received, send


def main() -> None:
    """Answer each batch on standard input with what was read of it, or the error that it raised.

    Batches are taken and answers given while others are read, so that neither process waits for the other.
    """
    gc.disable()  # what is read of a batch is many values and no cycles
    given, out = FileIO(0, "rb"), FileIO(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    told = received(given)
    if told is None:
        return
    job: Job = pickle.loads(told)  # noqa: S301 - by the process that started this one
    read = job.reader()
    batches: SimpleQueue[bytearray | None] = SimpleQueue()
    answers: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_take, args=(given, batches), daemon=True).start()
    Thread(target=_give, args=(out, answers), daemon=True).start()
    while (batch := batches.get()) is not None:
        try:
            answer = encoded_answer(read(decoded(batch)))
        except Exception as error:  # noqa: BLE001 - raised where the batch came from
            answer = encoded_answer(error)
        answers.put(answer)


def _take(given: FileIO, batches: SimpleQueue[bytearray | None]) -> None:
    try:
        while (batch := received(given)) is not None:
            batches.put(batch)
    finally:
        batches.put(None)


def _give(out: FileIO, answers: SimpleQueue[bytes]) -> None:
    with out, suppress(BrokenPipeError):  # closed, so that who waits for an answer hears of its end
        while True:
            send(out, answers.get())
