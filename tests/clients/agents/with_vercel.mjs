// Vercel's AI SDK: responses and chats of OpenAI's provider, its provider for whatever is compatible, and
// messages of Anthropic's.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, SAY, URL, gathered, run } from "./jobs.mjs";

// setup
const openai = createOpenAI({ baseURL: URL, apiKey: KEY });
const anthropic = createAnthropic({ baseURL: URL, apiKey: KEY });
const compatible = createOpenAICompatible({
  name: "inferworks",
  baseURL: URL,
  apiKey: KEY,
  supportsStructuredOutputs: true,
});
// openai(name) asks for responses, openai.chat(name) for chats
// end

const ways = {
  responses: (name) => openai(name),
  chat: (name) => openai.chat(name),
  compatible: (name) => compatible(name),
  messages: (name) => anthropic(name),
};
const Weather = z.object({ place: z.string(), degrees: z.number() });

for (const name of MODELS) {
  for (const [way, made] of Object.entries(ways)) {
    const asked = { model: made(name), maxRetries: 0 };
    await run(way, name, {
      chat: async () => (await generateText({ ...asked, prompt: SAY })).text,
      stream: async () => {
        let failed;
        const onError = ({ error }) => {
          failed = error;
        };
        const pieces = await gathered(streamText({ ...asked, prompt: SAY, onError }).textStream);
        if (failed) throw failed;
        return pieces;
      },
      tools: async (weather) => {
        const inputSchema = z.object({ place: z.string() });
        const tools = { weather: tool({ description: "The weather.", inputSchema, execute: weather }) };
        const stopWhen = stepCountIs(4);
        return (await generateText({ ...asked, prompt: CALL, tools, stopWhen })).text;
      },
      json: async () => (await generateObject({ ...asked, prompt: ASK, schema: Weather })).object,
    });
  }
}
