// Mistral's client for node: its chats are OpenAI's but for some words, and it checks what it reads.
import { Mistral } from "@mistralai/mistralai";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, PARAMETERS, ROOT, SAY, gathered, run } from "./jobs.mjs";

// setup
const client = new Mistral({ serverURL: ROOT, apiKey: KEY });
// end
const Weather = z.object({ place: z.string(), degrees: z.number() });
const said = (content) => [{ role: "user", content }];
const tools = [
  { type: "function", function: { name: "weather", description: "The weather.", parameters: PARAMETERS } },
];

for (const model of MODELS) {
  await run("chat", model, {
    chat: async () =>
      (await client.chat.complete({ model, messages: said(SAY) })).choices[0].message.content,
    stream: async () =>
      gathered(
        await client.chat.stream({ model, messages: said(SAY) }),
        (event) => event.data.choices[0]?.delta.content,
      ),
    tools: async (weather) => {
      const messages = said(CALL);
      for (;;) {
        const answer = await client.chat.complete({ model, messages, tools });
        const message = answer.choices[0].message;
        if (!message.toolCalls?.length) return message.content;
        messages.push(message);
        for (const call of message.toolCalls) {
          const content = await weather(JSON.parse(call.function.arguments));
          messages.push({ role: "tool", toolCallId: call.id, content });
        }
      }
    },
    json: async () => {
      const answer = await client.chat.parse({ model, messages: said(ASK), responseFormat: Weather });
      return answer.choices[0].message.parsed;
    },
  });
}
