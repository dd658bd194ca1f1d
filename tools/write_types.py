"""Write the types of each vendor's requests, taken from the vendor's own Python package.

    python tools/write_types.py [--check]

The fake upstreams check requests against these files, so that neither `openai` nor `anthropic` nor
`botocore` must be there where a fake runs. A file is a JSON Schema: objects are closed unless they say
otherwise, descriptions are left out, and so is the member of a union that is another's form in answers.
With `--check` nothing is written and the exit status is 1 if anything would change.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import botocore
from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

Json = dict[str, Any]

TYPES = Path(__file__).parent.parent / "src" / "inferworks" / "testing" / "upstreams" / "types"
_CHAT = "openai.types.chat.completion_create_params:CompletionCreateParamsNonStreaming"
_CONVERSE = "data/bedrock-runtime/2023-09-30/service-2.json.gz"


class Source(NamedTuple):
    """Origin of a request's type, and the differences of the API from it."""

    type: str
    """Module and name."""
    also: Mapping[str, Json] = {}
    """Fields that the API takes although the package has them no longer."""
    inner: Mapping[str, Json] = {}
    """Added fields of nested types: `Definition.field`."""
    without: frozenset[str] = frozenset()
    """Fields that the package sends elsewhere, for example in a header."""
    optional: frozenset[str] = frozenset()
    """Fields that the package requires and another form of the request lacks; or `Definition.field`, which
    the API does without.
    """
    within: str = ""
    """The file that has every field of this type, and some more."""


_SAMPLING: Mapping[str, Json] = {
    "temperature": {"type": "number"},
    "top_k": {"type": "integer"},
    "top_p": {"type": "number"},
}
"""Earlier models of Anthropic's take them: https://platform.claude.com/docs/en/api/messages"""
_MESSAGES = "anthropic.types.{}message_create_params:MessageCreateParamsNonStreaming"
_COUNT = "anthropic.types.{}message_count_tokens_params:MessageCountTokensParams"
_BETAS = frozenset({"betas"})

SOURCES: Mapping[str, Source] = {
    # OpenAI's own examples name the function in its result, and so do clients:
    # https://github.com/openai/openai-cookbook, How_to_call_functions_with_chat_models.
    "openai_chat": Source(_CHAT, inner={"ChatCompletionToolMessageParam.name": {"type": "string"}}),
    "openai_completions": Source(
        "openai.types.completion_create_params:CompletionCreateParamsNonStreaming"
    ),
    "openai_responses": Source(
        "openai.types.responses.response_create_params:ResponseCreateParamsNonStreaming",
        # What Codex says of itself: codex-rs/codex-api/src/common.rs of https://github.com/openai/codex.
        {"client_metadata": {"type": "object"}},
        # Items of a conversation have ids, and are sent again with them: /responses/input-items.
        {"EasyInputMessageParam.id": {"type": "string"}, "Message.id": {"type": "string"}},
        # Strict unless it says otherwise: https://platform.openai.com/docs/guides/function-calling.
        optional=frozenset({"FunctionToolParam.strict"}),
    ),
    "openai_embeddings": Source("openai.types.embedding_create_params:EmbeddingCreateParams"),
    "openai_moderations": Source("openai.types.moderation_create_params:ModerationCreateParams"),
    "openai_images": Source("openai.types.image_generate_params:ImageGenerateParamsNonStreaming"),
    "openai_image_edits": Source(
        "openai.types.image_edit_params:ImageEditParamsNonStreaming",
        {"images": {"type": "array"}},  # which JSON has in place of the form's `image`
        optional=frozenset({"image"}),
    ),
    "openai_speech": Source("openai.types.audio.speech_create_params:SpeechCreateParams"),
    "openai_transcriptions": Source(
        "openai.types.audio.transcription_create_params:TranscriptionCreateParamsNonStreaming"
    ),
    "openai_translations": Source(
        "openai.types.audio.translation_create_params:TranslationCreateParams"
    ),
    "anthropic_messages": Source(_MESSAGES.format(""), _SAMPLING),
    "anthropic_messages_beta": Source(
        _MESSAGES.format("beta."),
        # The beta's own name for `output_config.format`, still taken with its header:
        # https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
        {**_SAMPLING, "output_format": {"type": "object"}},
        without=_BETAS,
    ),
    "anthropic_count": Source(_COUNT.format(""), within="anthropic_messages"),
    "anthropic_count_beta": Source(
        _COUNT.format("beta."), without=_BETAS, within="anthropic_messages_beta"
    ),
}


class _Schemas(GenerateJsonSchema):
    """Generator of schemas in which a file is any bytes."""

    def handle_invalid_for_json_schema(
        self, schema: CoreSchema, error_info: str
    ) -> JsonSchemaValue:
        return {}


def written(name: str) -> str:
    """The file `name`, a definition a line."""
    source = SOURCES.get(name)
    schema, package = _converse() if source is None else _of_package(source)
    lines = [f'"source": {json.dumps(package)}']
    definitions = schema.pop("$defs", {})
    lines += [f"{json.dumps(key)}: {_line(value)}" for key, value in schema.items()]
    inner = ",\n".join(
        f"{json.dumps(key)}: {_line(definitions[key])}" for key in sorted(definitions)
    )
    lines.append('"$defs": {\n' + inner + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _of_package(source: Source) -> tuple[Json, str]:
    module, _, name = source.type.partition(":")
    kind = getattr(importlib.import_module(module), name)
    kind.__pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)
    schema = _pruned(TypeAdapter(kind).json_schema(schema_generator=_Schemas))
    fields = {**schema["properties"], **source.also}
    if "stream" in fields:
        fields["stream"] = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    schema["properties"] = {key: fields[key] for key in fields if key not in source.without}
    if source.optional:
        schema["required"] = [
            name for name in schema.get("required", ()) if name not in source.optional
        ]
    for place in source.optional:
        definition, _, field = place.rpartition(".")
        if definition:
            schema["$defs"][definition]["required"].remove(field)
    for place, kind in source.inner.items():
        definition, _, field = place.rpartition(".")
        schema["$defs"][definition]["properties"][field] = kind
    package = module.partition(".")[0]
    told = f"{package} {version(package)}, {module}.{name}"
    if source.within:
        names = sorted(schema["properties"])
        return {**schema, "within": source.within, "properties": names, "$defs": {}}, told
    return _reachable(schema), told


def _pruned(schema: Any, *, names: bool = False) -> Any:
    """`schema` without words for people; under `properties` and `$defs` each key is a name."""
    if isinstance(schema, list):
        return [_pruned(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = () if names else ("title", "description", "default", "format")
    pruned = {
        key: _pruned(value, names=not names and key in {"properties", "$defs"})
        for key, value in schema.items()
        if key not in left_out
    }
    if not names and "anyOf" in pruned:
        pruned["anyOf"] = list(_members(pruned["anyOf"]))
        if {} in pruned["anyOf"]:
            return {}
    if not names and "properties" in pruned:
        pruned.setdefault("additionalProperties", False)
    return pruned


def _members(union: list[Json]) -> Iterator[Json]:
    """Yield the members of a union that no other member includes."""
    references = {part["$ref"] for part in union if "$ref" in part}
    for part in union:
        is_answer = f"{part.get('$ref')}Param" in references
        is_named_string = "enum" in part and {"type": "string"} in union
        if not is_answer and not is_named_string:
            yield part


def _reachable(schema: Json) -> Json:
    """Return the schema with referenced definitions alone."""
    definitions, kept, left = schema.pop("$defs", {}), {}, [schema]
    while left:
        for name in _references(left.pop()):
            if name not in kept:
                kept[name] = definitions[name]
                left.append(definitions[name])
    return {**schema, "$defs": kept}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _converse() -> tuple[Json, str]:
    """Bedrock's Converse, from the model of the service that `botocore` has."""
    packed = (Path(botocore.__file__).parent / _CONVERSE).read_bytes()
    shapes = json.loads(gzip.decompress(packed))["shapes"]
    root = {**shapes["ConverseRequest"]}
    del root["members"]["modelId"]  # which is in the path
    root["required"] = ["messages"]  # of everything but a prompt of Bedrock's own
    definitions = {name: _shape(shape) for name, shape in shapes.items() if name != "Document"}
    definitions["Document"] = {}
    schema = _reachable({**_shape(root), "$defs": definitions})
    return schema, f"botocore {version('botocore')}, {_CONVERSE}, ConverseRequest"


_SIMPLE = {"blob": "string", "float": "number", "double": "number", "long": "integer"}
_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}


def _shape(shape: Json) -> Json:
    """A shape of botocore's as a schema."""
    kind = {"structure": "object", "map": "object", "list": "array"}.get(
        shape["type"], shape["type"]
    )
    schema: Json = {"type": _SIMPLE.get(kind, kind)}
    for ours, theirs in zip(_BOUNDS.get(schema["type"], ()), ("min", "max"), strict=False):
        if theirs in shape:
            schema[ours] = shape[theirs]
    schema |= {key: shape[key] for key in ("enum", "pattern") if key in shape}
    match shape["type"]:
        case "structure":
            members = shape["members"].items()
            schema["properties"] = {key: _reference(member) for key, member in members}
            schema["required"] = shape.get("required", [])
            schema["additionalProperties"] = False
            if shape.get("union"):
                schema |= {"minProperties": 1, "maxProperties": 1}
        case "list":
            schema["items"] = _reference(shape["member"])
        case "map":
            schema["additionalProperties"] = _reference(shape["value"])
    return schema


def _reference(member: Json) -> Json:
    return {"$ref": f"#/$defs/{member['shape']}"}


def main() -> int:
    """Write all of them, or only tell which are not as they should be."""
    stale = []
    for name in [*SOURCES, "bedrock_converse"]:
        path, text = TYPES / f"{name}.json", written(name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print("written anew:" if "--check" not in sys.argv else "stale:", *stale)
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
