"""LangChain's standard tests, through `ChatOpenAI` and `OpenAIEmbeddings` as their users write them.

Each class is one way through the gateway. The pictures, documents and sounds that the suites fetch from
the internet are stood in for: what is in them is nothing to a gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from .conftest import LOOP, Gateway

pytestmark = [
    pytest.mark.slow,
    # Of the suites' own making: old schemas, files without a name, parsed answers put into JSON again.
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:LANGCHAIN_TESTS_USER_AGENT"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename"),
]

Details = list[
    Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input",
            "cache_creation_input"]
]  # fmt: skip


def stand_in(url: str, **_: Any) -> httpx.Response:
    """Stand in for the internet."""
    return httpx.Response(200, content=b"\x89PNG\r\n\x1a\n", request=httpx.Request("GET", url))


@pytest.fixture(scope="session")
def connections(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Connections for both kinds of clients; LangChain's own are never closed."""
    runner = request.session.stash[LOOP]
    client = httpx.AsyncClient()
    with httpx.Client() as http_client:
        yield {"http_client": http_client, "http_async_client": client}
    runner.run(client.aclose())


class ThroughTheGateway(ChatModelIntegrationTests):
    """The suite for one model of the gateway."""

    served = "native"
    settings: ClassVar[dict[str, Any]] = {"stream_usage": True}

    @pytest.fixture(autouse=True)
    def _open(
        self, gateway: Gateway, connections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.place = {"base_url": gateway.url, "api_key": gateway.key, **connections}
        monkeypatch.setattr(httpx, "get", stand_in)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """Class that talks to the gateway."""
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Settings that a user has to give."""
        return {**self.place, "model": self.served, **self.settings}

    @property
    def model_override_value(self) -> str:
        """Another model, served in another way."""
        return "chats" if self.served == "claude" else "claude"

    @property
    def supports_json_mode(self) -> bool:
        """JSON without a schema can be asked for."""
        return True

    @property
    def supports_image_inputs(self) -> bool:
        """Pictures as data."""
        return True

    @property
    def supports_image_urls(self) -> bool:
        """Pictures by their address."""
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        """Documents as data."""
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        """Sounds as data."""
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        """Pictures in what a tool says: OpenAI refuses them in its own words, and others are served."""
        return self.served != "native" or bool(self.settings.get("use_responses_api"))

    @property
    def supports_pdf_tool_message(self) -> bool:
        """Documents in what a tool says: the same."""
        return self.supports_image_tool_message

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Messages in Anthropic's words, which LangChain puts into OpenAI's."""
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], Details]:
        """Details of usage beside its totals."""
        details: Details = ["cache_read_input", "reasoning_output"]
        return {"invoke": details, "stream": details}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """An answer of which the upstream had part in its cache, as it always has."""
        return self._asked(stream=stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """An answer that was thought about, as all are."""
        return self._asked(stream=stream)

    def _asked(self, *, stream: bool) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            return model.invoke("Hello")
        first, *rest = model.stream("Hello")
        return sum(rest, start=first)


class TestChats(ThroughTheGateway):
    """Chats, passed to an upstream that speaks the same dialect."""


class TestChatsOverMessages(ThroughTheGateway):
    """Chats, translated to Anthropic's messages."""

    served = "claude"

    @property
    def supports_json_mode(self) -> bool:
        """JSON mode works, by a tool; but the fake model fills in schemas, and this test gives it none."""
        return False

    @property
    def supports_audio_inputs(self) -> bool:
        """Anthropic hears nothing; sounds are refused."""
        return False


class TestChatsOverConverse(ThroughTheGateway):
    """Chats, translated to Bedrock's Converse."""

    served = "converse"

    @property
    def supports_json_mode(self) -> bool:
        """JSON mode works, by a tool; but the fake model fills in schemas, and this test gives it none."""
        return False

    @property
    def supports_audio_inputs(self) -> bool:
        """Sounds are refused."""
        return False

    @property
    def supports_image_urls(self) -> bool:
        """Bedrock fetches nothing; pictures by their address are refused."""
        return False

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], Details]:
        """Bedrock does not tell what was thought."""
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}


class TestResponsesOverChats(ThroughTheGateway):
    """Responses, translated to chats."""

    served = "chats"
    settings: ClassVar = {"use_responses_api": True}


class TestResponsesOverMessages(ThroughTheGateway):
    """Responses, translated to chats and those to Anthropic's messages."""

    served = "claude"
    settings: ClassVar = {"use_responses_api": True}

    @property
    def supports_json_mode(self) -> bool:
        """JSON mode works, by a tool; but the fake model fills in schemas, and this test gives it none."""
        return False

    @property
    def supports_audio_inputs(self) -> bool:
        """Anthropic hears nothing; sounds are refused."""
        return False


class TestEmbeddings(EmbeddingsIntegrationTests):
    """Embeddings, passed as they are."""

    @pytest.fixture(autouse=True)
    def _open(self, gateway: Gateway, connections: dict[str, Any]) -> None:
        self.place = {"base_url": gateway.url, "api_key": gateway.key, **connections}

    @property
    def embeddings_class(self) -> type[Embeddings]:
        """Class that talks to the gateway."""
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        """Settings of a user who would not have tokens counted by a file from the internet."""
        return {**self.place, "model": "native", "check_embedding_ctx_length": False}
