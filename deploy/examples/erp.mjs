// An ERP's side of the HTTP API with Node (18 or newer): one invoice and one tracking event.
//
//   TOKEN=… node erp.mjs 1172452900788-01 9999 9508        (order, invoice number, cents)

const url = process.env.FRONT_DOOR ?? "http://localhost:8080";
const headers = { Authorization: `Bearer ${process.env.TOKEN}`, "Content-Type": "application/json" };
const [order, number, cents] = process.argv.slice(2);
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// The same key again is the same command: so whatever goes wrong on the way, it is sent again as it is.
async function ask(path, options) {
  for (let tries = 1; ; tries++) {
    const answer = await fetch(url + path, options).catch(() => null);
    if (answer?.ok) return answer.json();
    if (answer && answer.status !== 429 && answer.status < 500) throw new Error(await answer.text());
    if (tries === 5) throw new Error(answer ? await answer.text() : `${url} does not answer`);
    await pause(Number(answer?.headers.get("Retry-After") ?? tries));
  }
}

const send = (path, key, body) =>
  ask(`/v1/orders/${encodeURIComponent(order)}/${path}`, {
    method: "POST",
    headers: { ...headers, "Idempotency-Key": key },
    body: JSON.stringify(body),
  });

async function outcome(key) {
  for (;;) {
    const command = await ask(`/v1/commands/${encodeURIComponent(key)}`, { headers });
    if (command.state === "done") return console.log(`${key}: done`);
    if (["refused", "dead"].includes(command.state)) throw new Error(`${key}: ${command.outcome.why}`);
    await pause(1);
  }
}

await send("invoices", `nf-${number}`, {
  type: "Output",
  issuanceDate: "2026-01-31T18:25:43-03:00",
  invoiceNumber: number,
  invoiceValue: Number(cents),
  items: [{ id: "1234", price: Number(cents), quantity: 1 }],
});
await send(`invoices/${number}/tracking`, `nf-${number}-sent`, {
  trackingNumber: "BR123456789",
  courier: "Correios",
  isDelivered: false,
  events: [{ city: "Niterói", state: "RJ", description: "Saiu para entrega", date: "2026-02-01" }],
});
await outcome(`nf-${number}`);
await outcome(`nf-${number}-sent`);
