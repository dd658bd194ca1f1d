// OpenRouter's client for node, which checks what it reads.
import { OpenRouter } from "@openrouter/sdk";
import { ASK, CALL, KEY, MODELS, PARAMETERS, SAY, URL, gathered, run } from "./jobs.mjs";

// setup
const client = new OpenRouter({ serverURL: URL, apiKey: KEY });
// end
const said = (content) => [{ role: "user", content }];
const send = (chatRequest) => client.chat.send({ chatRequest });
const schema = {
  type: "object",
  properties: { place: { type: "string" }, degrees: { type: "integer" } },
  required: ["place", "degrees"],
  additionalProperties: false,
};
const tools = [
  { type: "function", function: { name: "weather", description: "The weather.", parameters: PARAMETERS } },
];

for (const model of MODELS) {
  await run("chat", model, {
    chat: async () => (await send({ model, messages: said(SAY) })).choices[0].message.content,
    stream: async () =>
      gathered(
        await send({ model, messages: said(SAY), stream: true }),
        (chunk) => chunk.choices[0]?.delta.content,
      ),
    tools: async (weather) => {
      const messages = said(CALL);
      for (;;) {
        const message = (await send({ model, messages, tools })).choices[0].message;
        if (!message.toolCalls?.length) return message.content;
        messages.push(message);
        for (const call of message.toolCalls) {
          const content = await weather(JSON.parse(call.function.arguments));
          messages.push({ role: "tool", toolCallId: call.id, content });
        }
      }
    },
    json: async () => {
      const responseFormat = { type: "json_schema", jsonSchema: { name: "weather", strict: true, schema } };
      const answer = await send({ model, messages: said(ASK), responseFormat });
      return JSON.parse(answer.choices[0].message.content);
    },
  });
}
