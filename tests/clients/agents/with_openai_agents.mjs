// OpenAI's Agents SDK for node, with both of its models.
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  run as runAgent,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, SAY, URL, gathered, run } from "./jobs.mjs";

// setup
const client = new OpenAI({ baseURL: URL, apiKey: KEY });
setTracingDisabled(true); // it would go to OpenAI
// end
const ways = { chat: OpenAIChatCompletionsModel, responses: OpenAIResponsesModel };
const outputType = z.object({ place: z.string(), degrees: z.number() });

for (const name of MODELS) {
  for (const [way, Model] of Object.entries(ways)) {
    const made = { name: "a", model: new Model(client, name) };
    await run(way, name, {
      chat: async () => (await runAgent(new Agent(made), SAY)).finalOutput,
      stream: async () => {
        const streamed = await runAgent(new Agent(made), SAY, { stream: true });
        return gathered(streamed.toTextStream());
      },
      tools: async (weather) => {
        const parameters = z.object({ place: z.string() });
        const look = tool({ name: "weather", description: "The weather.", parameters, execute: weather });
        return (await runAgent(new Agent({ ...made, tools: [look] }), CALL)).finalOutput;
      },
      json: async () => (await runAgent(new Agent({ ...made, outputType }), ASK)).finalOutput,
    });
  }
}
