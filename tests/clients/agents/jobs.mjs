// The jobs that every client does, and whether it did them: what the drivers of clients for node share.
// It says the same as jobs.py, which tells why.

export const URL = process.env.GATEWAY_URL;
export const ROOT = process.env.GATEWAY_ROOT;
export const KEY = process.env.GATEWAY_KEY;
export const MODELS = process.env.GATEWAY_MODELS.split(" ");

export const WORDS = "Good morning from behind the door.";
export const SAY = `Greet me. SAY ${JSON.stringify(WORDS)}`;
export const CALL = 'How is the weather? CALL weather {"place": "Rome"}';
export const RESULT = "Sunny in Rome, 21 degrees.";
export const ASK = "How is the weather in 'Rome'? It has 21 degrees. Answer in JSON.";
export const PARAMETERS = {
  type: "object",
  properties: { place: { type: "string" } },
  required: ["place"],
  additionalProperties: false,
};

const JOB_MS = 120_000;

// Do some of the jobs `chat`, `stream`, `tools` and `json`, each by an async function.
export async function run(way, model, jobs) {
  for (const [job, doIt] of Object.entries(jobs)) {
    const start = performance.now();
    const failed = await failure(job, doIt);
    const seconds = Math.round(performance.now() - start) / 1000;
    console.log(JSON.stringify({ way, model, job, failed, seconds }));
  }
}

// All pieces of text that `pieces` yields, each as `textOf` finds it.
export async function gathered(pieces, textOf = (piece) => piece) {
  const texts = [];
  for await (const piece of pieces) texts.push(textOf(piece) ?? "");
  return texts;
}

async function failure(job, doIt) {
  const asked = [];
  const weather = async ({ place }) => {
    asked.push(place);
    return RESULT;
  };
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${JOB_MS / 1000} s`)), JOB_MS);
  });
  try {
    return CHECKS[job](await Promise.race([doIt(weather), late]), asked);
  } catch (error) {
    if (process.env.CLIENT_TRACE) console.error(error);
    const more = error?.responseBody ?? error?.body ?? "";
    return `${error?.name}: ${error?.message} ${typeof more === "string" ? more : ""}`.trim();
  } finally {
    clearTimeout(timer);
  }
}

const CHECKS = {
  chat: (got) => (String(got).trim() === WORDS ? "" : `it said ${JSON.stringify(got)}`),
  stream: (got) => {
    const pieces = got.filter((piece) => piece);
    if (pieces.length < 2) return `it came in one piece: ${JSON.stringify(pieces)}`;
    return CHECKS.chat(pieces.join(""));
  },
  tools: (got, asked) => {
    if (JSON.stringify(asked) !== '["Rome"]') return `the tool was asked ${JSON.stringify(asked)}`;
    return String(got).includes(RESULT) ? "" : `the result did not come back: ${JSON.stringify(got)}`;
  },
  json: (got) => (got?.place === "Rome" && got?.degrees === 21 ? "" : `it is ${JSON.stringify(got)}`),
};
