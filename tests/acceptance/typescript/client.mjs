// A client on the TypeScript SDK, told what to do in lines of JSON on stdin; each gets one line of JSON back.
//
//   node client.mjs forms|no-forms URL
//   node client.mjs forms|no-forms COMMAND [ARGUMENT…]
//
// {"tool": NAME, "arguments": {…}, "answer": {…}}: call a tool, and give this answer to its form. Without an answer the
// person never reacts. The SDK validates what comes back against the tool's output schema, errors included.
import readline from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [mode, target, ...rest] = process.argv.slice(2);
const forms = mode === "forms";
const transport = target.startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args: rest });
const client = new Client(
  { name: "typescript", version: "1.0.0" },
  { capabilities: forms ? { elicitation: {} } : {} },
);

let answer;
let shown = [];
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

if (forms) {
  client.setRequestHandler(ElicitRequestSchema, async ({ params }, { signal }) => {
    const form = { message: params.message, schema: params.requestedSchema, withdrawn: false };
    shown.push(form);
    if (answer) return answer;
    say({ waiting: form.message });
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    form.withdrawn = true;
    return { action: "cancel" };
  });
}

await client.connect(transport);
const { tools } = await client.listTools(); // from now on the SDK validates results
say({ tools: tools.map((tool) => tool.name) });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  answer = step.answer;
  shown = [];
  try {
    const result = await client.callTool({ name: step.tool, arguments: step.arguments });
    const { content, structuredContent, isError } = result;
    say({ text: content.map((block) => block.text).join("\n"), content: structuredContent, isError: !!isError, shown });
  } catch (error) {
    say({ failed: `${error.code} ${error.message}`, shown });
  }
}
await client.close();
