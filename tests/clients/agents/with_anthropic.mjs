// Anthropic's client for node: messages, with its own tool runner.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { ASK, CALL, KEY, MODELS, ROOT, SAY, run } from "./jobs.mjs";

// setup
const client = new Anthropic({ baseURL: ROOT, apiKey: KEY });
// end
client.maxRetries = 0;

const Weather = z.object({ place: z.string(), degrees: z.number() });
const asked = (model, content) => ({
  model,
  max_tokens: 1000,
  messages: [{ role: "user", content }],
});
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

for (const model of MODELS) {
  await run("messages", model, {
    chat: async () => textOf(await client.messages.create(asked(model, SAY))),
    stream: async () => {
      const texts = [];
      const stream = client.messages.stream(asked(model, SAY)).on("text", (text) => texts.push(text));
      await stream.finalMessage();
      return texts;
    },
    tools: async (weather) => {
      const inputSchema = z.object({ place: z.string() });
      const tool = { name: "weather", description: "The weather.", inputSchema, run: weather };
      const tools = [betaZodTool(tool)];
      return textOf(await client.beta.messages.toolRunner({ ...asked(model, CALL), tools }));
    },
    json: async () => {
      const output_config = { format: zodOutputFormat(Weather) };
      return (await client.messages.parse({ ...asked(model, ASK), output_config })).parsed_output;
    },
  });
}
