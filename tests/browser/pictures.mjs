// Makes the README's pictures: node pictures.mjs FOLDER. A real server, a directory file, a morning in one minute.
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { launch, LOOKS, openPage } from "./chromium.mjs";
import { ask, record, serve, untilSession } from "./server.mjs";

const PEOPLE = ["oncall", "sre-2", "dba", "lead"];
const LAPTOPS = { "oc-laptop": "oncall", "sre2-mini": "sre-2", "dba-desk": "dba", "lead-air": "lead" };
const HOSTS = ["db-prod-1", "db-prod-2", "edge-fra-1", "edge-sin-1", "web-1", "web-3"];

const directory = [
  ...PEOPLE.map((name) => `[[people]]\nlogin = "${name}@example.com"`),
  ...Object.entries(LAPTOPS).map(([name, owner], at) => `[[devices]]\nname = "${name}.tail.example"\nid = "l${at}"\naddresses = ["127.0.1.${at + 1}"]\nowner = "${owner}@example.com"`),
  ...HOSTS.map((name, at) => `[[devices]]\nname = "${name}.tail.example"\nid = "h${at}"\naddresses = ["127.0.0.${at + 11}"]\ntags = ["tag:prod"]`),
  '[[devices]]\nname = "kiosk-2.tail.example"\nid = "k2"\naddresses = ["127.0.2.1"]\ntags = ["tag:kiosk"]',
  '[[devices]]\nname = "runner-14.tail.example"\nid = "r14"\naddresses = ["127.0.2.2"]\ntags = ["tag:ci"]',
].join("\n\n");

function from(laptop, host, account, command) {
  const at = Object.keys(LAPTOPS).indexOf(laptop);
  const header = { srcNode: `${laptop}.tail.example`, srcNodeID: `l${at}`, srcNodeUser: `${LAPTOPS[laptop]}@example.com`, sshUser: account, localUser: account, command };
  return [header, `127.0.0.${HOSTS.indexOf(host) + 11}`];
}

const PROMPT = "\u001b[32mpostgres@db-prod-1\u001b[0m:\u001b[34m~\u001b[0m$ ";
const QUERY = ["psql billing\r\n", "psql (17.2)\r\nType \"help\" for help.\r\n\r\n", "billing=# ", "select count(*) from invoices where paid is null;", "\r\n count \r\n-------\r\n  1184\r\n(1 row)\r\n\r\nbilling=# ", "\\d invoices", "\r\n                 Table \"public.invoices\"\r\n   Column   │           Type           │ Nullable │  Default\r\n────────────┼──────────────────────────┼──────────┼───────────\r\n id         │ bigint                   │ not null │ identity\r\n customer   │ bigint                   │ not null │\r\n issued     │ timestamp with time zone │ not null │ now()\r\n paid       │ timestamp with time zone │          │\r\n\r\nbilling=# "];

/** Writes outputs in real time, since lengths are what the server saw. */
async function play(session, outputs, every) {
  const began = performance.now();
  for (const output of outputs) {
    await pause(every);
    await session.write([(performance.now() - began) / 1000, "o", output]);
  }
}

async function morning(server) {
  const open = async (parts) => record(server, ...parts);
  const dba = await open(from("dba-desk", "db-prod-1", "postgres", undefined));
  const sre = await open(from("sre2-mini", "edge-sin-1", "root", undefined));
  const stranger = await open([{ srcNode: "kiosk-2.tail.example", srcNodeID: "k2", srcNodeUser: "contractor@example.com", sshUser: "app", localUser: "app", command: "scp -t /srv/releases" }, "127.0.0.15"]);
  await play(stranger, ["C0644 18231 release.tar\r\n"], 3000);
  await stranger.end();
  await Promise.all([
    play(dba, [PROMPT, ...QUERY], 3500),
    play(sre, ["edge-sin-1# ", "journalctl -u nginx -f\r\n", "upstream timed out (110: Connection timed out)\r\n"], 4000).then(() => sre.break()),
  ]);
  await dba.end();
  const lead = await open(from("lead-air", "web-1", "app", "./manage.py showmigrations billing"));
  await play(lead, ["billing\r\n [X] 0001_initial\r\n [X] 0002_currency\r\n [ ] 0003_paid_at\r\n"], 2000);
  await lead.end();
  const live = [
    await open(from("oc-laptop", "db-prod-2", "root", "psql -h localhost billing")),
    await open(from("sre2-mini", "edge-fra-1", "deploy", undefined)),
    await open([{ srcNode: "runner-14.tail.example", srcNodeID: "r14", srcNodeUser: undefined, srcNodeUserID: undefined, srcNodeTags: ["tag:ci"], sshUser: "deploy", localUser: "deploy", command: "kubectl exec -- ./manage.py migrate --plan" }, "127.0.0.16"]),
  ];
  await Promise.all(live.map((session, at) => play(session, Array.from({ length: 5 }, () => `line ${"·".repeat(40 * (at + 1))}\r\n`), 1200)));
  return live;
}

const folder = process.argv[2];
const server = await serve({ directory });
const browser = await launch();
const live = await morning(server);
const { id } = await untilSession(server, ({ target, state }) => state === "ended" && target.account === "postgres");
for (const look of ["light", "dark"]) {
  const page = await openPage(browser, LOOKS[look]);
  await page.goto(`${server.url}/sign-in`);
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.waitForSelector("#sound.good");
  await page.screenshot({ path: join(folder, `sessions-${look}.png`), clip: { x: 0, y: 0, width: 1440, height: 520 } });
  await page.goto(`${server.url}/sessions/${id}`);
  await page.click("[data-play]");
  await page.waitForSelector(".proof.good");
  await page.waitForTimeout(20000);
  await page.click(".way summary");
  await page.screenshot({ path: join(folder, `session-${look}.png`), fullPage: true });
  await page.goto(`${server.url}/events`);
  await page.waitForSelector("#sound.good");
  await page.screenshot({ path: join(folder, `events-${look}.png`) });
  await page.context().close();
}
console.log(await (await ask(server, "/api/v1/health")).text());
live.forEach((session) => session.break());
await browser.close();
await server.stop();
