// OpenAI's client for node: chats with its own tool runner, and responses.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, PARAMETERS, SAY, URL, gathered, run } from "./jobs.mjs";

// setup
const client = new OpenAI({ baseURL: URL, apiKey: KEY });
// end
client.maxRetries = 0;

const Weather = z.object({ place: z.string(), degrees: z.number() });
const said = (content) => [{ role: "user", content }];

for (const model of MODELS) {
  const chats = client.chat.completions;
  await run("chat", model, {
    chat: async () =>
      (await chats.create({ model, messages: said(SAY) })).choices[0].message.content,
    stream: async () =>
      gathered(
        await chats.create({ model, messages: said(SAY), stream: true }),
        (chunk) => chunk.choices[0]?.delta.content,
      ),
    tools: async (weather) => {
      const tool = { name: "weather", description: "The weather.", parameters: PARAMETERS };
      const tools = [{ type: "function", function: { ...tool, function: weather, parse: JSON.parse } }];
      return chats.runTools({ model, messages: said(CALL), tools }).finalContent();
    },
    json: async () => {
      const response_format = zodResponseFormat(Weather, "weather");
      const answer = await chats.parse({ model, messages: said(ASK), response_format });
      return answer.choices[0].message.parsed;
    },
  });
  await run("responses", model, {
    chat: async () => (await client.responses.create({ model, input: SAY })).output_text,
    stream: async () =>
      gathered(
        await client.responses.create({ model, input: SAY, stream: true }),
        (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
      ),
    tools: async (weather) => {
      const tools = [{ type: "function", name: "weather", strict: true, parameters: PARAMETERS }];
      const first = await client.responses.create({ model, input: CALL, tools });
      const call = first.output.find((item) => item.type === "function_call");
      const output = await weather(JSON.parse(call.arguments));
      const result = { type: "function_call_output", call_id: call.call_id, output };
      const input = [...said(CALL), ...first.output, result];
      return (await client.responses.create({ model, input, tools })).output_text;
    },
    json: async () => {
      const text = { format: zodTextFormat(Weather, "weather") };
      return (await client.responses.parse({ model, input: ASK, text })).output_parsed;
    },
  });
}
