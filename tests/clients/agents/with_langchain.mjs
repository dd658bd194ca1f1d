// LangChain for node: chats and responses of its model for OpenAI, messages of the one for Anthropic.
import { ChatAnthropic } from "@langchain/anthropic";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, ROOT, SAY, URL, gathered, run } from "./jobs.mjs";

const Weather = z.object({ place: z.string(), degrees: z.number() });

function models(name) {
  // setup
  const chat = new ChatOpenAI({ model: name, apiKey: KEY, configuration: { baseURL: URL } });
  const messages = new ChatAnthropic({ model: name, apiKey: KEY, anthropicApiUrl: ROOT });
  // end
  const options = { model: name, apiKey: KEY, configuration: { baseURL: URL } };
  return { chat, responses: new ChatOpenAI({ ...options, useResponsesApi: true }), messages };
}

for (const name of MODELS) {
  for (const [way, model] of Object.entries(models(name))) {
    await run(way, name, {
      chat: async () => (await model.invoke(SAY)).text,
      stream: async () => gathered(await model.stream(SAY), (chunk) => chunk.text),
      tools: async (weather) => {
        const schema = z.object({ place: z.string() });
        const look = tool(weather, { name: "weather", description: "The weather.", schema });
        const bound = model.bindTools([look]);
        const messages = [{ role: "user", content: CALL }];
        for (;;) {
          const answer = await bound.invoke(messages);
          if (!answer.tool_calls.length) return answer.text;
          messages.push(answer);
          for (const call of answer.tool_calls) messages.push(await look.invoke(call));
        }
      },
      json: async () => model.withStructuredOutput(Weather, { name: "weather" }).invoke(ASK),
    });
  }
}
